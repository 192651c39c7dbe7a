#pragma once
// The chunked computation on the CPU, and the same recorded for torch's backward.

#include "everlong/ops/linear_cross_entropy/linear_cross_entropy.h"

namespace everlong::ops::linear_cross_entropy_chunks {

/// Arguments that were checked: hidden [N, D] and weight [V, D] of one dtype, fp32 or bf16, on the CPU; bias [V] or undefined; targets [N].
struct Inputs {
  at::Tensor hidden, weight, bias, targets;
  LinearCrossEntropyOptions options;
  int64_t num_targets = 0;
};

struct Outputs {
  at::Tensor loss;                                 ///< [] or [N] fp32
  at::Tensor grad_hidden, grad_weight, grad_bias;  ///< of the reduced loss; undefined where not wanted
};

struct Wanted {
  bool hidden = false, weight = false, bias = false;
  [[nodiscard]] bool any() const { return hidden || weight || bias; }
};

/// Visits each chunk of tokens once: logits, losses, and the wanted gradients.
Outputs compute(const Inputs& inputs, const Wanted& wanted);

/// The loss of `compute`, recorded; saves the gradients.
at::Tensor loss_with_gradient(const Inputs& inputs);

}  // namespace everlong::ops::linear_cross_entropy_chunks
