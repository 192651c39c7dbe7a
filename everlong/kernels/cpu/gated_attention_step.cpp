#include "everlong/kernels/cpu/gated_attention_step.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "everlong/kernels/cpu/ema.h"
#include "everlong/kernels/cpu/gates.h"
#include "everlong/kernels/cpu/matvec.h"
#include "everlong/kernels/cpu/scratch.h"

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

void activate_f32(const float* s, const float* scale, const float* offset, float* y, int64_t width) { activate(s, scale, offset, y, width); }
void activate_bf16(const uint16_t* s, const float* scale, const float* offset, uint16_t* y, int64_t width) { activate(s, scale, offset, y, width); }

}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace everlong::kernels {
namespace {

HWY_EXPORT(activate_f32);
HWY_EXPORT(activate_bf16);

void activate(const float* s, const float* scale, const float* offset, float* y, int64_t width) {
  HWY_DYNAMIC_DISPATCH(activate_f32)(s, scale, offset, y, width);
}
void activate(const uint16_t* s, const float* scale, const float* offset, uint16_t* y, int64_t width) {
  HWY_DYNAMIC_DISPATCH(activate_bf16)(s, scale, offset, y, width);
}
QueryAttentionShape attention_shape(const GatedAttentionShape& shape) {
  return {.batch_size = shape.batch_size, .key_dim = shape.z_dim, .value_dim = shape.value_dim, .num_keys = shape.num_keys};
}

/// What goes from part to part.
template <class T>
struct Between {
  Between(const GatedAttentionShape& shape, Scratch& scratch)
      : width(2 * shape.model_dim + shape.z_dim + shape.value_dim),
        value(scratch.take<T>(shape.batch_size * shape.value_dim)),
        smoothed(scratch.take<T>(shape.batch_size * shape.model_dim)),
        mixed(scratch.take<T>(shape.batch_size * width)),
        query(scratch.take<T>(shape.batch_size * shape.z_dim)),
        attended(scratch.take<T>(shape.batch_size * shape.value_dim)),
        output(scratch.take<T>(shape.batch_size * shape.model_dim)),
        attention(scratch.take<char>(query_attention_workspace(attention_shape(shape), sizeof(T)))) {}

  int64_t width;  ///< of a row of `mixed`
  T *value, *smoothed, *mixed, *query, *attended, *output;
  char* attention;
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
  const int64_t Z = shape.z_dim, A = shape.num_keys;
  for (int64_t b = 0; b < shape.batch_size; ++b) {
    const T* shared = between.mixed + b * between.width + shape.model_dim;
    T *query = between.query + b * Z, *keys = call.keys.data + b * call.keys.row_stride;
    activate(shared, call.scale, call.offset, query, Z);
    activate(shared, call.scale + Z, call.offset + Z, keys + (A - 1) * Z, Z);
  }
  query_attention(QueryAttention<T>{.shape = attention_shape(shape),
                                    .function = call.function,
                                    .scale = 1 / std::sqrt(static_cast<float>(Z)),
                                    .bias = call.relative_bias,
                                    .query = between.query,
                                    .keys = {call.keys.data, call.keys.row_stride},
                                    .values = {call.values.data, call.values.row_stride},
                                    .y = between.attended,
                                    .workspace = between.attention},
                  parallel_for);
}

}  // namespace

int64_t gated_attention_workspace(const GatedAttentionShape& shape, int64_t element_bytes) { return scratch_bytes<Between>(shape, element_bytes); }

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
