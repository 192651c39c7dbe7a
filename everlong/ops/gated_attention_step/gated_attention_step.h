#pragma once

#include <ATen/core/Tensor.h>

#include "everlong/kernels/cpu/attention_weights.h"
#include "everlong/ops/linear/packed_matrix.h"

namespace everlong::ops {

/// What a layer of gated attention has learned, as its own forward uses it.
struct GatedAttentionParameters {
  struct Product {
    Matrix matrix;
    at::Tensor bias;
  };
  Product value;                   ///< [U, D]
  Product mixed;                   ///< [D + Z + U + D, D]: update gate, shared representation, value gate, candidate
  Product output;                  ///< [D, U]
  at::Tensor ema_q, ema_c;         ///< [D, N], as `ema` takes them
  at::Tensor ema_residual;         ///< [D]
  at::Tensor qk_scale, qk_offset;  ///< [2, Z]: of queries, of keys
  at::Tensor relative_bias;        ///< [2 A' - 1] with A' >= A, entry A' - 1 + (j - i)
  kernels::AttentionFunction function = kernels::AttentionFunction::softmax;
};

/// What a layer carries from token to token. The step writes all three.
struct GatedAttentionMemory {
  at::Tensor ema;     ///< [B, D, N] fp32
  at::Tensor keys;    ///< [B, A, Z]: those that the token sees, with room for its own as the last
  at::Tensor values;  ///< [B, A, U]
};

/// Whether the kernel serves: decoding on the CPU, matrices stored in the dtype of x, everything where the kernel can read it. If not, the layer runs
/// the ops that it runs for many tokens.
[[nodiscard]] bool has_gated_attention_step(const at::Tensor& x, const GatedAttentionParameters& parameters, const GatedAttentionMemory& memory);

/// Runs a layer of MEGA's gated attention for one more token of each row, from the normed input to the gated update, with silu as its activation.
/// Math     v = silu(value(n)) ;  e = silu(ema(n) + ema_residual n) ;  g, s, u, c = mixed(e) ;  q, k = silu(s) qk_scale + qk_offset
///          y = x + sigmoid(g) (silu(c + output(attention(q, keys, values) silu(u))) - x)
/// Shapes   x, normed [B, 1, D]; returns [B, 1, D]
/// Dtypes   fp32 or bf16; parameters that are no matrices and the EMA fp32; arithmetic fp32
/// State    `memory` is read and written in place
/// Cost     reads every matrix, key and value once
/// Errors   InvalidArgument if a shape disagrees. Call it only where has_gated_attention_step()
/// Threads  the result does not depend on the number of threads
/// Source   MEGA, arXiv 2209.10655, section 3: the same equations as the ops ema, linear, gates and chunk_attention one after the other.
at::Tensor gated_attention_step(const at::Tensor& x, const at::Tensor& normed, const GatedAttentionParameters& parameters,
                                const GatedAttentionMemory& memory);

}  // namespace everlong::ops
