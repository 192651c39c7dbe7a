#pragma once
// The kernels of gates.h, recorded for torch's backward. Arguments were checked: fp32 or bf16 on the CPU, rows of one stride.

#include <ATen/core/Tensor.h>

namespace everlong::ops::gates {

at::Tensor silu_mul_kernel(const at::Tensor& a, const at::Tensor& b);
at::Tensor silu_residual_kernel(const at::Tensor& a, const at::Tensor& x, const at::Tensor& w);
at::Tensor gated_update_kernel(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& a, const at::Tensor& b);
at::Tensor rms_norm_kernel(const at::Tensor& x, const at::Tensor& w, double eps);

}  // namespace everlong::ops::gates
