#pragma once
// The element-wise parts of gated layers as single ops: one pass over memory forward and one backward.

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace everlong::ops {

/// Multiplies by a gate: a silu(b).
/// Shapes   a, b [*, W], rows may be strided (slices of a wider matrix); returns [*, W]
/// Dtypes   fp64, fp32 or bf16, all the same; arithmetic at least fp32
/// Cost     saves a and b
/// Errors   InvalidArgument if shapes or dtypes disagree
/// Threads  the result does not depend on the number of threads; true of every op here
at::Tensor silu_mul(const at::Tensor& a, const at::Tensor& b);

/// Which values are dropped: a function of the seed and of a value's row and column, so that the backward replays it and no mask is kept.
struct DropoutSpec {
  double p = 0;  ///< probability in [0, 1); kept values are scaled by 1 / (1 - p)
  uint64_t seed = 0;
  int64_t first_row = 0;  ///< number of the first row, where the rows given are a part of a batch
};

/// Drops single values: x with each value zero or scaled, plus `residual` where one is given.
/// Shapes   x [*, W]; residual [*, W] or undefined; returns [*, W]
/// Cost     saves nothing
/// Errors   as silu_mul; InvalidArgument if p is outside [0, 1)
at::Tensor dropout(const at::Tensor& x, const DropoutSpec& spec, const at::Tensor& residual = {});

/// Adds a weighted input and activates: drop(silu(a + w x)).
/// Shapes   a, x [*, W]; w [W] fp32 (fp64 with a in fp64); returns [*, W]
/// Errors   as dropout
at::Tensor silu_residual(const at::Tensor& a, const at::Tensor& x, const at::Tensor& w, const DropoutSpec& spec = {});

/// Moves x towards a candidate as far as a gate says: x + sigmoid(gate) (drop(silu(a + b)) - x).
/// Shapes   all [*, W]; returns [*, W]
/// Errors   as dropout
/// Source   MEGA, arXiv 2209.10655, equation 15: the candidate and the update gate.
at::Tensor gated_update(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& a, const at::Tensor& b, const DropoutSpec& spec = {});

/// Normalises by the root mean square: w x / sqrt(mean(x^2) + eps).
/// Shapes   x [*, W]; w [W], [1] or undefined, fp32 (fp64 with x in fp64); returns [*, W]
/// Errors   as silu_mul
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& w, double eps);

/// The same by their equations: any device, differentiable by torch. The oracles of the ops above in tests; bf16 is computed in fp32 and rounded
/// once.
at::Tensor silu_mul_reference(const at::Tensor& a, const at::Tensor& b);
at::Tensor dropout_reference(const at::Tensor& x, const DropoutSpec& spec, const at::Tensor& residual = {});
at::Tensor silu_residual_reference(const at::Tensor& a, const at::Tensor& x, const at::Tensor& w, const DropoutSpec& spec = {});
at::Tensor gated_update_reference(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& a, const at::Tensor& b,
                                  const DropoutSpec& spec = {});
at::Tensor rms_norm_reference(const at::Tensor& x, const at::Tensor& w, double eps);

}  // namespace everlong::ops
