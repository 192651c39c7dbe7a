#pragma once
// The timestep norm kernels on tensors, without autograd: private to this folder.

#include <string>

#include <ATen/core/Tensor.h>

#include "everlong/ops/timestep_norm/timestep_norm.h"

namespace everlong::ops {

/// Checks what timestep norm and sequence norm have in common: rows, parameters, groups, mask and eps. `where` names the op in messages.
void check_norm_arguments(const char* where, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t num_groups,
                          const std::optional<at::Tensor>& mask, double eps);

/// Whether the kernel takes these rows; if not, the reference does.
[[nodiscard]] bool timestep_norm_has_kernel(const at::Tensor& x);

/// Arguments of both passes; an undefined tensor is one that was not given. Checked by `timestep_norm`; weight and bias are fp32.
struct TimestepNormArguments {
  at::Tensor x, weight, bias;
  at::Tensor count, mean, variance;
  at::Tensor restart, lengths, mask;
  int64_t num_groups = 1;
  int64_t count_cap = 0;
  double eps = 1e-5;
};

/// What the forward pass leaves for the backward pass.
struct TimestepNormSaved {
  at::Tensor mean;  ///< [B, T, G] fp64, after each token
  at::Tensor rstd;  ///< [B, T, G] fp32
};

struct TimestepNormForward {
  TimestepNormResult result;
  TimestepNormSaved saved = {};  ///< undefined where not asked for
};

[[nodiscard]] TimestepNormForward timestep_norm_kernel_forward(const TimestepNormArguments& arguments, bool save);

struct TimestepNormGradients {
  at::Tensor x, weight, bias;
  at::Tensor mean = {}, variance = {};  ///< of the incoming state: undefined where there is none
};

/// Gradients from those of the output and of the returned state; undefined ones are zero.
[[nodiscard]] TimestepNormGradients timestep_norm_kernel_backward(const TimestepNormArguments& arguments, const TimestepNormSaved& saved,
                                                                  const at::Tensor& dy, const at::Tensor& dmean, const at::Tensor& dvariance);

/// The kernels with their gradient.
[[nodiscard]] TimestepNormResult timestep_norm_autograd(const TimestepNormArguments& arguments);

}  // namespace everlong::ops
