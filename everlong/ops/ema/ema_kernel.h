#pragma once
// The EMA kernels on tensors, without autograd: private to this folder.

#include <ATen/core/Tensor.h>

#include "everlong/ops/ema/ema.h"

namespace everlong::ops {

/// Whether a kernel takes these arguments where they are; if not, the reference does.
[[nodiscard]] bool ema_has_kernel(const at::Tensor& x);

/// Arguments of both passes; an undefined tensor is one that was not given. Checked by `ema`.
struct EmaArguments {
  at::Tensor x, q, c, state, restart, lengths;
  bool reverse = false;
};

[[nodiscard]] EmaResult ema_kernel_forward(const EmaArguments& arguments);

/// What the backward pass is asked for; the parameters' gradients come together, and so do x's and the state's.
struct EmaWanted {
  bool inputs = true;
  bool parameters = true;
};

struct EmaGradients {
  at::Tensor x, q, c, state;  ///< undefined where not wanted
};

[[nodiscard]] EmaGradients ema_kernel_backward(const EmaArguments& arguments, const at::Tensor& dy, const at::Tensor& dstate, EmaWanted wanted);

/// The kernels with their gradient.
[[nodiscard]] EmaResult ema_autograd(const EmaArguments& arguments);

}  // namespace everlong::ops
