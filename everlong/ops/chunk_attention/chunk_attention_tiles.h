#pragma once
// Chunk attention on the CPU: pieces become batches of equal rectangles, each two matrix products around an element-wise kernel.

#include <span>

#include <ATen/core/Tensor.h>

#include "everlong/ops/chunk_attention/chunk_attention.h"

namespace everlong::ops::chunk_attention_tiles {

/// Arguments that were checked: q, k, v of one dtype, fp32 or bf16, on the CPU, with contiguous last dimensions; bias fp32 contiguous or undefined.
struct Inputs {
  at::Tensor q, k, v, bias;
  std::span<const AttentionPiece> pieces;
  ChunkAttentionOptions options;
  bool queries_covered = true;  ///< the pieces cover every query
  bool keys_covered = true;     ///< every key is visible to some query
  bool keys_once = true;        ///< no key belongs to two pieces
};

/// Returns [B, T, U]. log_sum_exp, if defined, is [B, T] fp32 contiguous and receives what the softmax backward needs.
at::Tensor forward(const Inputs& inputs, const at::Tensor& log_sum_exp);

struct Gradients {
  at::Tensor q, k, v, bias;  ///< bias undefined if the input is
};

/// The gradients of all inputs from that of the result.
Gradients backward(const Inputs& inputs, const at::Tensor& log_sum_exp, const at::Tensor& grad_output);

}  // namespace everlong::ops::chunk_attention_tiles
