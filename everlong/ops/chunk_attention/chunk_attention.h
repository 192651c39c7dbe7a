#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include <ATen/core/Tensor.h>

#include "everlong/kernels/cpu/attention_weights.h"
#include "everlong/ops/chunk_attention/chunk_plan.h"

namespace everlong::ops {

using kernels::AttentionFunction;

struct ChunkAttentionOptions {
  AttentionFunction function = AttentionFunction::softmax;
  bool causal = true;                        ///< a query sees the keys up to its own place
  std::optional<double> scale = {};          ///< softmax only; none = Z^-0.5
  std::optional<at::Tensor> key_valid = {};  ///< [B, S] bool: false = padding, never attended
  bool attend_if_all_masked = true;          ///< softmax, not causal: a piece without a valid key ignores the mask; false: its weights are zero
  double dropout = 0;                        ///< probability that a weight is dropped, in [0, 1), rounded to a multiple of 2^-16
  uint64_t dropout_seed = 0;                 ///< the mask is a function of (seed, b T + t, key of the piece): the backward replays it
  int64_t dropout_first_query = 0;           ///< added to b T + t, where the rows given are a part of a batch
};

/// Attends inside chunks: the queries of each piece see the keys of that piece and nothing else.
/// Math     softmax           w_ij = softmax_j(scale q_i k_j + bias(j - i))
///          relu2, laplace    w_ij = f(q_i k_j / len_i + bias(j - i)),   relu2(s) = max(s, 0)^2,   laplace(s) = (1 + erf((s - mu) / (sigma sqrt 2)))
///          / 2
///                            with mu = 0.707107, sigma = 0.282095
///          out_i = sum_j w_ij v_j;   i and j are places within the chunk
///          len_i = i + 1 if causal; else max(1, number of valid keys of the piece) with key_valid; else key_len
/// Masks    a masked or invisible key has weight exactly 0; a softmax row that sees no valid key has zero weights (but attend_if_all_masked)
/// Shapes   q [B, T, Z]; k [B, S, Z]; v [B, S, U]; bias [2A - 1] with the entry of distance j - i at A - 1 + (j - i), A > every place; an undefined
///          bias is none; returns [B, T, U], zero for queries that no piece covers
/// Dtypes   q, k, v fp64, fp32 or bf16, all the same; bias fp32 (fp64 with q in fp64). Matrix products in the dtype of q, everything else in fp32
/// Grad     q, k, v, bias; once (`chunk_attention_reference` is differentiable twice)
/// Cost     2 (Z + U) flops a visible score, backward 2 (3 Z + 2 U); memory beyond the result: a few MB of scores, never [T, C]; saves q, k, v
///          and, for softmax, one number a query. Scores and weights are rounded to the dtype of q between the matrix products
/// Errors   InvalidArgument if a shape or dtype disagrees, a piece leaves its row, a query is covered twice, a causal query stands behind the
///          last key, or dropout is outside [0, 1); Unsupported for fp16
/// Threads  the result does not depend on the number of threads
/// Source   MEGA, arXiv 2209.10655, section 3.3 and appendix B.2 (laplace); Megalodon, arXiv 2404.08801, section 3. Exact.
/// See      docs/ops/chunk_attention.md
at::Tensor chunk_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& bias,
                           std::span<const AttentionPiece> pieces, const ChunkAttentionOptions& options = {});

/// The same by its equation, one piece at a time: any device, differentiable by torch as often as wanted. The oracle of `chunk_attention`;
/// bf16 inputs are computed in fp32 and rounded once.
at::Tensor chunk_attention_reference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& bias,
                                     std::span<const AttentionPiece> pieces, const ChunkAttentionOptions& options = {});

}  // namespace everlong::ops
