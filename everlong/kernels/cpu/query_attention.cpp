#include "everlong/kernels/cpu/query_attention.h"

#include <algorithm>
#include <array>

#include "everlong/kernels/cpu/matvec.h"
#include "everlong/kernels/cpu/scratch.h"

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "everlong/kernels/cpu/query_attention.cpp"
#include <hwy/foreach_target.h>

#include "everlong/kernels/cpu/bfloat16.h"
#include "everlong/kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using row::kTag;

/// sums = sum of weights_j rows_j over all columns.
template <class T>
void add_rows(const T* rows, int64_t stride, const T* weights, int64_t num_rows, float* sums, int64_t width) {
  constexpr int64_t kTogether = 4, kAhead = 4096;  // rows of one pass over the sums; bytes between a read and the one it asks for
  const int64_t ahead = std::max(kTogether, kAhead / (stride * static_cast<int64_t>(sizeof(T)))) * stride;
  std::fill_n(sums, width, 0.0f);
  int64_t j = 0;
  for (; j + kTogether <= num_rows; j += kTogether) {
    const T* first = rows + j * stride;
    const auto weight = [&](int64_t k) HWY_ATTR { return hn::Set(kTag, to_float(weights[j + k])); };
    const auto w0 = weight(0), w1 = weight(1), w2 = weight(2), w3 = weight(3);
    row::each(width, [&](int64_t i, int64_t n) EVERLONG_VECTOR_BODY {
      const T* p = first + i;
      for (int64_t k = 0; k < kTogether; ++k) __builtin_prefetch(p + ahead + k * stride, 0, 3);
      auto sum = row::load(sums + i, n);
      sum = hn::MulAdd(w0, row::load(p, n), sum);
      sum = hn::MulAdd(w1, row::load(p + stride, n), sum);
      sum = hn::MulAdd(w2, row::load(p + 2 * stride, n), sum);
      sum = hn::MulAdd(w3, row::load(p + 3 * stride, n), sum);
      row::store(sum, sums + i, n);
    });
  }
  for (; j < num_rows; ++j) {
    const auto w = hn::Set(kTag, to_float(weights[j]));
    row::each(width, [&](int64_t i, int64_t n) EVERLONG_VECTOR_BODY {
      row::store(hn::MulAdd(w, row::load(rows + j * stride + i, n), row::load(sums + i, n)), sums + i, n);
    });
  }
}

/// y = the sum of `count` vectors of fp32.
template <class T>
void add_sums(const float* sums, int64_t count, T* y, int64_t width) {
  row::each(width, [&](int64_t i, int64_t n) EVERLONG_VECTOR_BODY {
    auto sum = row::load(sums + i, n);
    for (int64_t k = 1; k < count; ++k) sum = hn::Add(sum, row::load(sums + k * width + i, n));
    row::store(sum, y + i, n);
  });
}

void add_rows_f32(const float* rows, int64_t stride, const float* weights, int64_t num_rows, float* sums, int64_t width) {
  add_rows(rows, stride, weights, num_rows, sums, width);
}
void add_rows_bf16(const uint16_t* rows, int64_t stride, const uint16_t* weights, int64_t num_rows, float* sums, int64_t width) {
  add_rows(rows, stride, weights, num_rows, sums, width);
}
void add_sums_f32(const float* sums, int64_t count, float* y, int64_t width) { add_sums(sums, count, y, width); }
void add_sums_bf16(const float* sums, int64_t count, uint16_t* y, int64_t width) { add_sums(sums, count, y, width); }

}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace everlong::kernels {
namespace {

HWY_EXPORT(add_rows_f32);
HWY_EXPORT(add_rows_bf16);
HWY_EXPORT(add_sums_f32);
HWY_EXPORT(add_sums_bf16);

constexpr int64_t kKeys = 64;  ///< keys whose values one thread adds up before others come in: the sums do not depend on the number of threads

int64_t key_blocks(const QueryAttentionShape& shape) { return (shape.num_keys + kKeys - 1) / kKeys; }

void add_rows(const float* rows, int64_t stride, const float* weights, int64_t num_rows, float* sums, int64_t width) {
  HWY_DYNAMIC_DISPATCH(add_rows_f32)(rows, stride, weights, num_rows, sums, width);
}
void add_rows(const uint16_t* rows, int64_t stride, const uint16_t* weights, int64_t num_rows, float* sums, int64_t width) {
  HWY_DYNAMIC_DISPATCH(add_rows_bf16)(rows, stride, weights, num_rows, sums, width);
}
void add_sums(const float* sums, int64_t count, float* y, int64_t width) { HWY_DYNAMIC_DISPATCH(add_sums_f32)(sums, count, y, width); }
void add_sums(const float* sums, int64_t count, uint16_t* y, int64_t width) { HWY_DYNAMIC_DISPATCH(add_sums_bf16)(sums, count, y, width); }

/// What goes from part to part.
template <class T>
struct Between {
  Between(const QueryAttentionShape& shape, Scratch& scratch)
      : queries(scratch.take<T>(shape.num_heads > 1 ? kMatVecRows * shape.num_heads * shape.key_dim : 0)),
        scores(scratch.take<T>(kMatVecRows * shape.num_keys)),
        sums(scratch.take<float>(kMatVecRows * key_blocks(shape) * shape.value_dim)) {}

  T *queries, *scores;
  float* sums;
};

/// Scores of some heads of a row. All keys of a row of memory are read for them, so each query is zero where the other heads' features are.
template <class T>
void score(const QueryAttention<T>& call, const Between<T>& between, int64_t b, int64_t head, int64_t heads, const ParallelFor& parallel_for) {
  const auto& shape = call.shape;
  const int64_t z = shape.key_dim, width = shape.num_heads * z;
  const T* query = call.query + b * width;
  if (shape.num_heads > 1) {
    std::fill_n(between.queries, heads * width, T{});
    for (int64_t h = 0; h < heads; ++h) std::copy_n(query + (head + h) * z, z, between.queries + h * width + (head + h) * z);
    query = between.queries;
  }
  matvec(MatVec<T>{.num_rows = heads,
                   .in_features = width,
                   .out_features = shape.num_keys,
                   .x = query,
                   .w = call.keys.data + b * call.keys.row_stride,
                   .y = between.scores},
         parallel_for);
  const std::array<AttentionMatrix, kMatVecRows> matrices{};
  attention_weights({.function = call.function,
                     .matrices = {matrices.data(), static_cast<size_t>(heads)},
                     .num_queries = 1,
                     .num_keys = shape.num_keys,
                     .query_stride = shape.num_keys,
                     .matrix_stride = shape.num_keys,
                     .query_place = shape.num_keys - 1,
                     .causal = true,
                     .scale = call.scale,
                     .bias = call.bias},
                    between.scores, parallel_for);
}

}  // namespace

int64_t query_attention_workspace(const QueryAttentionShape& shape, int64_t element_bytes) { return scratch_bytes<Between>(shape, element_bytes); }

template <class T>
void query_attention(const QueryAttention<T>& call, const ParallelFor& parallel_for) {
  constexpr int64_t kProducts = int64_t{1} << 17;
  const auto& shape = call.shape;
  Scratch scratch(call.workspace);
  const Between<T> between(shape, scratch);
  const int64_t A = shape.num_keys, e = shape.value_dim, width = shape.num_heads * e, blocks = key_blocks(shape);
  for (int64_t b = 0; b < shape.batch_size; ++b) {
    const T* values = call.values.data + b * call.values.row_stride;
    for (int64_t head = 0; head < shape.num_heads; head += kMatVecRows) {
      const int64_t heads = std::min(kMatVecRows, shape.num_heads - head);
      score(call, between, b, head, heads, parallel_for);
      share_out(parallel_for, heads * blocks, std::max<int64_t>(1, kProducts / (kKeys * e)), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t h = i / blocks, first = i % blocks * kKeys;
          add_rows(values + first * width + (head + h) * e, width, between.scores + h * A + first, std::min(kKeys, A - first), between.sums + i * e,
                   e);
        }
      });
      for (int64_t h = 0; h < heads; ++h) add_sums(between.sums + h * blocks * e, blocks, call.y + b * width + (head + h) * e, e);
    }
  }
}

template void query_attention(const QueryAttention<float>& call, const ParallelFor& parallel_for);
template void query_attention(const QueryAttention<uint16_t>& call, const ParallelFor& parallel_for);

}  // namespace everlong::kernels
#endif  // HWY_ONCE
