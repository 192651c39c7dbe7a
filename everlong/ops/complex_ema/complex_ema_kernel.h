#pragma once
// The complex EMA kernels on tensors, without autograd: private to this folder.

#include <ATen/core/Tensor.h>

#include "everlong/ops/complex_ema/complex_ema.h"

namespace everlong::ops {

/// Whether a kernel takes these arguments where they are; if not, the reference does.
[[nodiscard]] bool complex_ema_has_kernel(const at::Tensor& x);

/// Arguments of both passes; an undefined tensor is one that was not given. Checked by `complex_ema`.
struct ComplexEmaArguments {
  at::Tensor x, q, c, omega, state, restart, lengths;
  bool reverse = false;
};

[[nodiscard]] ComplexEmaResult complex_ema_kernel_forward(const ComplexEmaArguments& arguments);

/// What the backward pass is asked for; the parameters' gradients come together, and so do x's and the state's.
struct ComplexEmaWanted {
  bool inputs = true;
  bool parameters = true;
};

struct ComplexEmaGradients {
  at::Tensor x, q, c, omega, state;  ///< undefined where not wanted
};

[[nodiscard]] ComplexEmaGradients complex_ema_kernel_backward(const ComplexEmaArguments& arguments, const at::Tensor& dy, const at::Tensor& dstate,
                                                              ComplexEmaWanted wanted);

/// The kernels with their gradient.
[[nodiscard]] ComplexEmaResult complex_ema_autograd(const ComplexEmaArguments& arguments);

}  // namespace everlong::ops
