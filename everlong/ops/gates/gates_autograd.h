#pragma once
// The kernels of gates.h, recorded for torch's backward. Arguments were checked: fp32 or bf16 on the CPU, rows of one stride.

#include <ATen/core/Tensor.h>

#include "everlong/ops/gates/gates.h"

namespace everlong::ops::gates {

at::Tensor silu_mul_kernel(const at::Tensor& a, const at::Tensor& b);
at::Tensor dropout_kernel(const at::Tensor& x, const DropoutSpec& spec, const at::Tensor& residual);
at::Tensor silu_residual_kernel(const at::Tensor& a, const at::Tensor& x, const at::Tensor& w, const DropoutSpec& spec);
at::Tensor gated_update_kernel(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& a, const at::Tensor& b, const DropoutSpec& spec);
at::Tensor rms_norm_kernel(const at::Tensor& x, const at::Tensor& w, double eps);

}  // namespace everlong::ops::gates
