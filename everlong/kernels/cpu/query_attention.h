#pragma once
// Attention of one more query over what came before it: bound by reading the keys and values once.

#include <cstdint>

#include "everlong/kernels/cpu/attention_weights.h"
#include "everlong/kernels/cpu/parallel.h"

namespace everlong::kernels {

/// Cached entries of B rows, each [num_keys, width]: dense within a row of the batch.
template <class T>
struct CachedRows {
  T* data = nullptr;
  int64_t row_stride = 0;  ///< elements from one row of the batch to the next
};

struct QueryAttentionShape {
  int64_t batch_size = 0;  ///< B
  int64_t num_heads = 1;   ///< H
  int64_t key_dim = 0;     ///< z, of a head
  int64_t value_dim = 0;   ///< e, of a head
  int64_t num_keys = 0;    ///< A, all of them seen
};

/// T is float, or uint16_t holding bfloat16. Heads lie side by side in queries, keys and values.
/// Math     y_h = sum_j f(scale q_h k_hj + bias_j) v_hj
template <class T>
struct QueryAttention {
  QueryAttentionShape shape;
  AttentionFunction function = AttentionFunction::softmax;
  float scale = 1;              ///< softmax only
  const float* bias = nullptr;  ///< the entry of distance 0, with num_keys - 1 entries before it; null = none
  const T* query = nullptr;     ///< [B, H z]
  CachedRows<const T> keys, values;  ///< [A, H z] and [A, H e]
  T* y = nullptr;               ///< [B, H e]
  void* workspace = nullptr;    ///< query_attention_workspace() bytes, aligned to 64
};

/// Bytes of scratch memory of a call, which hold nothing between calls.
[[nodiscard]] int64_t query_attention_workspace(const QueryAttentionShape& shape, int64_t element_bytes);

/// Dtypes   arithmetic fp32; scores and weights are rounded to T
/// Cost     reads every key and value once for each four heads
/// Threads  the result does not depend on their number
template <class T>
void query_attention(const QueryAttention<T>& call, const ParallelFor& parallel_for);

}  // namespace everlong::kernels
