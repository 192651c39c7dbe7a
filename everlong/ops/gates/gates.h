#pragma once
// The element-wise parts of gated layers as single ops: one pass over memory forward and one backward.

#include <ATen/core/Tensor.h>

namespace everlong::ops {

/// Multiplies by a gate: a silu(b).
/// Shapes   a, b [*, W], rows may be strided (slices of a wider matrix); returns [*, W]
/// Dtypes   fp64, fp32 or bf16, all the same; arithmetic at least fp32
/// Cost     saves a and b
/// Errors   InvalidArgument if shapes or dtypes disagree
/// Threads  the result does not depend on the number of threads; true of every op here
at::Tensor silu_mul(const at::Tensor& a, const at::Tensor& b);

/// Adds a weighted input and activates: silu(a + w x).
/// Shapes   a, x [*, W]; w [W] fp32 (fp64 with a in fp64); returns [*, W]
/// Errors   as silu_mul
at::Tensor silu_residual(const at::Tensor& a, const at::Tensor& x, const at::Tensor& w);

/// Moves x towards a candidate as far as a gate says: x + sigmoid(gate) (silu(a + b) - x).
/// Shapes   all [*, W]; returns [*, W]
/// Errors   as silu_mul
/// Source   MEGA, arXiv 2209.10655, equation 15: the candidate and the update gate.
at::Tensor gated_update(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& a, const at::Tensor& b);

/// Normalises by the root mean square: w x / sqrt(mean(x^2) + eps).
/// Shapes   x [*, W]; w [W], [1] or undefined, fp32 (fp64 with x in fp64); returns [*, W]
/// Errors   as silu_mul
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& w, double eps);

/// The same by their equations: any device, differentiable by torch. The oracles of the ops above in tests; bf16 is computed in fp32 and rounded once.
at::Tensor silu_mul_reference(const at::Tensor& a, const at::Tensor& b);
at::Tensor silu_residual_reference(const at::Tensor& a, const at::Tensor& x, const at::Tensor& w);
at::Tensor gated_update_reference(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& a, const at::Tensor& b);
at::Tensor rms_norm_reference(const at::Tensor& x, const at::Tensor& w, double eps);

}  // namespace everlong::ops
