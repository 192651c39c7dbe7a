#pragma once
// One more token of gated attention: what a layer of MEGA does between its norm and the next, when a sequence is read token by token.

#include <cstdint>

#include "everlong/kernels/cpu/attention_weights.h"
#include "everlong/kernels/cpu/packed_matrix.h"
#include "everlong/kernels/cpu/parallel.h"
#include "everlong/kernels/cpu/query_attention.h"

namespace everlong::kernels {

struct GatedAttentionShape {
  int64_t batch_size = 0;  ///< B, at most kMatVecRows
  int64_t model_dim = 0;   ///< D
  int64_t value_dim = 0;   ///< U
  int64_t z_dim = 0;       ///< Z
  int64_t ema_ndim = 0;    ///< N
  int64_t num_keys = 0;    ///< A: those of the past and the new one
};

template <class T>
struct LearnedMatrix {
  const T* weight = nullptr;    ///< [out, in]
  const float* bias = nullptr;  ///< [out] or null
  PackedMatrix packed = {};     ///< of the weight, or none
};

/// T is float, or uint16_t holding bfloat16. x and y are [B, D].
/// Math     v = silu(W_v n) ;  e = silu(ema(n) + omega n) ;  g, s, u, c = W_m e ;  q, k = silu(s) scale + offset
///          a = attention of q over the keys and values with k and v as their last ;  y = x + sigmoid(g) (silu(c + W_o (a silu(u))) - x)
template <class T>
struct GatedAttentionStep {
  GatedAttentionShape shape;
  AttentionFunction function = AttentionFunction::softmax;
  const T* x = nullptr;
  const T* normed = nullptr;     ///< [B, D]: n
  LearnedMatrix<T> value;        ///< [U, D]
  LearnedMatrix<T> mixed;        ///< [D + Z + U + D, D]: g, s, u, c
  LearnedMatrix<T> output;       ///< [D, U]
  const float* ema_q = nullptr;  ///< [D, N]
  const float* ema_c = nullptr;  ///< [D, N]
  const float* omega = nullptr;  ///< [D]
  const float* scale = nullptr;  ///< [2, Z]: of queries, of keys
  const float* offset = nullptr;
  const float* relative_bias = nullptr;  ///< the entry of distance 0, with num_keys - 1 entries before it
  float* ema_state = nullptr;            ///< [B, D, N], read and written
  CachedRows<T> keys, values;  ///< [num_keys, Z] and [num_keys, U], the last entry of each is written
  T* y = nullptr;
  void* workspace = nullptr;  ///< gated_attention_workspace() bytes, aligned to 64
};

/// Bytes of scratch memory of a call, which hold nothing between calls.
[[nodiscard]] int64_t gated_attention_workspace(const GatedAttentionShape& shape, int64_t element_bytes);

/// Runs the step. The parts are the kernels that longer calls run (matvec.h, ema.h, gates.h, attention_weights.h), one after the other.
/// Dtypes   arithmetic fp32; what goes from part to part is rounded to T, as it is between tensors
/// Cost     reads every matrix, key and value once
/// Threads  the result does not depend on their number
template <class T>
void gated_attention_step(const GatedAttentionStep<T>& call, const ParallelFor& parallel_for);

}  // namespace everlong::kernels
