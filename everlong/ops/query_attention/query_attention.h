#pragma once

#include <ATen/core/Tensor.h>

namespace everlong::ops {

/// Attention of one more query of each row over all of its cached keys, heads side by side: what decoding does with a cache.
/// Math     y_h = sum_j softmax_j(q_h k_hj) v_hj
/// Shapes   query [B, 1, H z]; keys [B, A, H z]; values [B, A, H e], A >= 1; returns [B, 1, H e]
/// Dtypes   fp64, fp32, bf16, all the same; sums and softmax at least fp32
/// Cost     reads every key and value once for each four heads; no gradient is recorded
/// Errors   InvalidArgument if a shape disagrees
/// Threads  the result does not depend on the number of threads
at::Tensor query_attention(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values, int64_t num_heads);

/// The same by torch's operations, one row or one head after the other.
at::Tensor query_attention_reference(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values, int64_t num_heads);

}  // namespace everlong::ops
