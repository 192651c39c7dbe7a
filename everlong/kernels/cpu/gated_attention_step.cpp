#include "everlong/kernels/cpu/gated_attention_step.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "everlong/kernels/cpu/ema.h"
#include "everlong/kernels/cpu/gates.h"
#include "everlong/kernels/cpu/matvec.h"

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "everlong/kernels/cpu/gated_attention_step.cpp"
#include <hwy/foreach_target.h>

#include "everlong/kernels/cpu/bfloat16.h"
#include "everlong/kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using row::kTag;
using row::Vec;

/// y = silu(s) scale + offset
template <class T>
void activate(const T* s, const float* scale, const float* offset, T* y, int64_t width) {
  row::each(width, [&](int64_t i, int64_t n) EVERLONG_VECTOR_BODY {
    row::store(hn::MulAdd(row::silu(row::load(s + i, n)), row::load(scale + i, n), row::load(offset + i, n)), y + i, n);
  });
}

/// y = sum of weights_j rows_j, for columns [begin, end); `sums` has room for all columns.
template <class T>
void add_rows(const T* rows, int64_t stride, const T* weights, int64_t num_rows, float* sums, T* y, int64_t begin, int64_t end) {
  constexpr int64_t kTogether = 4, kAhead = 8;  // rows of one pass over the sums; rows between a read and the one it asks for
  std::fill(sums + begin, sums + end, 0.0f);
  int64_t j = 0;
  for (; j + kTogether <= num_rows; j += kTogether) {
    const T* first = rows + j * stride;
    const auto weight = [&](int64_t k) HWY_ATTR { return hn::Set(kTag, to_float(weights[j + k])); };
    const auto w0 = weight(0), w1 = weight(1), w2 = weight(2), w3 = weight(3);
    row::each(end - begin, [&](int64_t i, int64_t n) EVERLONG_VECTOR_BODY {
      const T* p = first + begin + i;
      for (int64_t k = 0; k < kTogether; ++k) __builtin_prefetch(p + (kAhead + k) * stride, 0, 3);
      auto sum = row::load(sums + begin + i, n);
      sum = hn::MulAdd(w0, row::load(p, n), sum);
      sum = hn::MulAdd(w1, row::load(p + stride, n), sum);
      sum = hn::MulAdd(w2, row::load(p + 2 * stride, n), sum);
      sum = hn::MulAdd(w3, row::load(p + 3 * stride, n), sum);
      row::store(sum, sums + begin + i, n);
    });
  }
  for (; j < num_rows; ++j) {
    const auto w = hn::Set(kTag, to_float(weights[j]));
    row::each(end - begin, [&](int64_t i, int64_t n) EVERLONG_VECTOR_BODY {
      row::store(hn::MulAdd(w, row::load(rows + j * stride + begin + i, n), row::load(sums + begin + i, n)), sums + begin + i, n);
    });
  }
  row::each(end - begin, [&](int64_t i, int64_t n) EVERLONG_VECTOR_BODY { row::store(row::load(sums + begin + i, n), y + begin + i, n); });
}

void activate_f32(const float* s, const float* scale, const float* offset, float* y, int64_t width) { activate(s, scale, offset, y, width); }
void activate_bf16(const uint16_t* s, const float* scale, const float* offset, uint16_t* y, int64_t width) { activate(s, scale, offset, y, width); }
void add_rows_f32(const float* rows, int64_t stride, const float* weights, int64_t num_rows, float* sums, float* y, int64_t begin, int64_t end) {
  add_rows(rows, stride, weights, num_rows, sums, y, begin, end);
}
void add_rows_bf16(const uint16_t* rows, int64_t stride, const uint16_t* weights, int64_t num_rows, float* sums, uint16_t* y, int64_t begin,
                   int64_t end) {
  add_rows(rows, stride, weights, num_rows, sums, y, begin, end);
}

}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace everlong::kernels {
namespace {

HWY_EXPORT(activate_f32);
HWY_EXPORT(activate_bf16);
HWY_EXPORT(add_rows_f32);
HWY_EXPORT(add_rows_bf16);

void activate(const float* s, const float* scale, const float* offset, float* y, int64_t width) {
  HWY_DYNAMIC_DISPATCH(activate_f32)(s, scale, offset, y, width);
}
void activate(const uint16_t* s, const float* scale, const float* offset, uint16_t* y, int64_t width) {
  HWY_DYNAMIC_DISPATCH(activate_bf16)(s, scale, offset, y, width);
}
void add_rows(const float* rows, int64_t stride, const float* weights, int64_t num_rows, float* sums, float* y, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(add_rows_f32)(rows, stride, weights, num_rows, sums, y, begin, end);
}
void add_rows(const uint16_t* rows, int64_t stride, const uint16_t* weights, int64_t num_rows, float* sums, uint16_t* y, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(add_rows_bf16)(rows, stride, weights, num_rows, sums, y, begin, end);
}

constexpr int64_t kLine = 64;
int64_t lines(int64_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

/// Scratch arrays, one after the other. Without memory it only counts.
class Scratch {
 public:
  explicit Scratch(void* memory) : memory_(static_cast<char*>(memory)) {}
  template <class T>
  T* take(int64_t count) {
    T* taken = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + used_);
    used_ += lines(count * static_cast<int64_t>(sizeof(T)));
    return taken;
  }
  [[nodiscard]] int64_t used() const { return used_; }

 private:
  char* memory_;
  int64_t used_ = 0;
};

/// What goes from part to part.
template <class T>
struct Between {
  Between(const GatedAttentionShape& shape, Scratch& scratch)
      : width(2 * shape.model_dim + shape.z_dim + shape.value_dim),
        value(scratch.take<T>(shape.batch_size * shape.value_dim)),
        smoothed(scratch.take<T>(shape.batch_size * shape.model_dim)),
        mixed(scratch.take<T>(shape.batch_size * width)),
        query(scratch.take<T>(shape.batch_size * shape.z_dim)),
        scores(scratch.take<T>(shape.batch_size * shape.num_keys)),
        attended(scratch.take<T>(shape.batch_size * shape.value_dim)),
        output(scratch.take<T>(shape.batch_size * shape.model_dim)),
        sums(scratch.take<float>(shape.value_dim)) {}

  int64_t width;  ///< of a row of `mixed`
  T *value, *smoothed, *mixed, *query, *scores, *attended, *output;
  float* sums;
};

template <class T>
void multiply(const LearnedMatrix<T>& matrix, const GatedAttentionShape& shape, const T* x, int64_t in, T* y, int64_t out, bool silu,
              const ParallelFor& parallel_for) {
  matvec(MatVec<T>{.num_rows = shape.batch_size,
                   .in_features = in,
                   .out_features = out,
                   .x = x,
                   .w = matrix.weight,
                   .packed = matrix.packed,
                   .bias = matrix.bias,
                   .silu = silu,
                   .y = y},
         parallel_for);
}

/// The new value, and the moving averages of the input.
template <class T>
void read_token(const GatedAttentionStep<T>& call, const Between<T>& between, const ParallelFor& parallel_for) {
  const auto& shape = call.shape;
  const int64_t D = shape.model_dim, U = shape.value_dim;
  multiply(call.value, shape, call.normed, D, between.value, U, true, parallel_for);
  for (int64_t b = 0; b < shape.batch_size; ++b)
    std::memcpy(call.values.data + b * call.values.row_stride + (shape.num_keys - 1) * U, between.value + b * U, static_cast<size_t>(U) * sizeof(T));

  // One token: the scan needs no workspace.
  ema_forward({.shape = {.batch_size = shape.batch_size,
                         .seq_len = 1,
                         .model_dim = D,
                         .ema_ndim = shape.ema_ndim,
                         .element = sizeof(T) == sizeof(float) ? Element::kFloat : Element::kBFloat16},
               .x = {call.normed, D, D},
               .y = {between.smoothed, D, D},
               .q = call.ema_q,
               .c = call.ema_c,
               .state_in = call.ema_state,
               .state_out = call.ema_state},
              parallel_for);
  forward(
      SiluResidual<T>{
          .shape = {shape.batch_size, D}, .mask = {}, .a = {between.smoothed, D}, .x = {call.normed, D}, .w = call.omega, .y = {between.smoothed, D}},
      parallel_for);
}

/// The new key beside those of the past, and what the query finds there.
template <class T>
void attend(const GatedAttentionStep<T>& call, const Between<T>& between, const ParallelFor& parallel_for) {
  const auto& shape = call.shape;
  const int64_t Z = shape.z_dim, U = shape.value_dim, A = shape.num_keys;
  for (int64_t b = 0; b < shape.batch_size; ++b) {
    const T* shared = between.mixed + b * between.width + shape.model_dim;
    T *query = between.query + b * Z, *keys = call.keys.data + b * call.keys.row_stride;
    activate(shared, call.scale, call.offset, query, Z);
    activate(shared, call.scale + Z, call.offset + Z, keys + (A - 1) * Z, Z);
    matvec(MatVec<T>{.num_rows = 1, .in_features = Z, .out_features = A, .x = query, .w = keys, .y = between.scores + b * A}, parallel_for);
  }
  const std::array<AttentionMatrix, kMatVecRows> matrices{};
  attention_weights({.function = call.function,
                     .matrices = {matrices.data(), static_cast<size_t>(shape.batch_size)},
                     .num_queries = 1,
                     .num_keys = A,
                     .query_stride = A,
                     .matrix_stride = A,
                     .query_place = A - 1,
                     .causal = true,
                     .scale = 1 / std::sqrt(static_cast<float>(Z)),
                     .bias = call.relative_bias},
                    between.scores, parallel_for);
  constexpr int64_t kColumns = 64, kProducts = int64_t{1} << 17;
  for (int64_t b = 0; b < shape.batch_size; ++b) {
    const T *rows = call.values.data + b * call.values.row_stride, *weights = between.scores + b * A;
    parallel_for(0, (U + kColumns - 1) / kColumns, std::max<int64_t>(1, kProducts / (kColumns * A)), [&](int64_t begin, int64_t end) {
      add_rows(rows, U, weights, A, between.sums, between.attended + b * U, begin * kColumns, std::min(U, end * kColumns));
    });
  }
}

}  // namespace

int64_t gated_attention_workspace(const GatedAttentionShape& shape, int64_t element_bytes) {
  Scratch scratch(nullptr);
  if (element_bytes == static_cast<int64_t>(sizeof(float))) {
    static_cast<void>(Between<float>(shape, scratch));
  } else {
    static_cast<void>(Between<uint16_t>(shape, scratch));
  }
  return scratch.used();
}

template <class T>
void gated_attention_step(const GatedAttentionStep<T>& call, const ParallelFor& parallel_for) {
  const auto& shape = call.shape;
  const int64_t D = shape.model_dim, U = shape.value_dim, Z = shape.z_dim;
  Scratch scratch(call.workspace);
  const Between<T> between(shape, scratch);
  read_token(call, between, parallel_for);
  multiply(call.mixed, shape, between.smoothed, D, between.mixed, between.width, false, parallel_for);
  attend(call, between, parallel_for);
  const StridedRows<const T> gate{between.mixed, between.width}, value_gate{between.mixed + D + Z, between.width},
      candidate{between.mixed + D + Z + U, between.width};
  forward(SiluMul<T>{.shape = {shape.batch_size, U}, .a = {between.attended, U}, .b = value_gate, .y = {between.attended, U}}, parallel_for);
  multiply(call.output, shape, between.attended, U, between.output, D, false, parallel_for);
  forward(
      GatedUpdate<T>{
          .shape = {shape.batch_size, D}, .mask = {}, .x = {call.x, D}, .gate = gate, .a = candidate, .b = {between.output, D}, .y = {call.y, D}},
      parallel_for);
}

template void gated_attention_step(const GatedAttentionStep<float>& call, const ParallelFor& parallel_for);
template void gated_attention_step(const GatedAttentionStep<uint16_t>& call, const ParallelFor& parallel_for);

}  // namespace everlong::kernels
#endif  // HWY_ONCE
