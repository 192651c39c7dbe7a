#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace everlong::ops {

enum class LossReduction { mean, sum, none };

struct LinearCrossEntropyOptions {
  int64_t ignore_index = -100;  ///< tokens with this target count nothing
  LossReduction reduction = LossReduction::mean;
  int64_t tokens_per_chunk = 0;  ///< tokens whose logits exist at a time; 0 = about 64 MB of logits, at least 512 tokens
};

struct LinearCrossEntropyResult {
  at::Tensor loss;          ///< [] nats, or [*] with reduction none: 0 for ignored tokens; fp32 (fp64 with hidden in fp64)
  int64_t num_targets = 0;  ///< tokens that count
};

/// Computes the cross-entropy of a linear layer's logits without ever holding all of them.
/// Math     logits_t = weight hidden_t + bias ;  loss_t = log sum_v exp(logits_tv) - logits_{t, target_t}; then the mean or sum over counted tokens
/// Shapes   hidden [*, D]; weight [V, D]; bias [V] or undefined; targets [*] int64
/// Dtypes   hidden and weight fp64, fp32 or bf16, the same; bias any of these. Logits are rounded to the dtype of hidden, everything after is fp32;
///          gradients of weight and bias are summed in fp32 over chunks of tokens
/// Units    nats; a mean over no token is NaN
/// Grad     hidden, weight, bias; once, and not with reduction none (Unsupported). They are computed in the forward and scaled in the backward
/// Cost     2 D V flops a token, 6 D V with gradients; memory tokens_per_chunk V for logits, and with gradients D a token and (D + 1) V in fp32
/// Errors   InvalidArgument if a shape or dtype disagrees, a target is neither ignore_index nor in [0, V), or tokens_per_chunk < 0
/// Threads  the result does not depend on the number of threads
/// See      docs/ops/linear_cross_entropy.md
LinearCrossEntropyResult linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& targets,
                                              const LinearCrossEntropyOptions& options = {});

/// The same by torch's own linear and cross_entropy_loss on all logits at once: any device, differentiable in every reduction. bf16 inputs
/// are computed in fp32.
LinearCrossEntropyResult linear_cross_entropy_reference(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias,
                                                        const at::Tensor& targets, const LinearCrossEntropyOptions& options = {});

}  // namespace everlong::ops
