#pragma once

#include <ATen/core/Tensor.h>

#include "everlong/ops/linear/packed_matrix.h"

namespace everlong::ops {

/// What a product goes through before it leaves.
struct LinearFinish {
  bool silu = false;
  at::Tensor residual = {};  ///< [*, out], added last; undefined = none
};

/// Multiplies by a matrix: f(x w^T + bias) + residual, f the identity or silu.
/// Shapes   x [*, in]; w [out, in]; bias [out] or undefined; returns [*, out]
/// Dtypes   computes in the dtype of x, casting w and bias; sums at least fp32
/// Cost     torch's operations; up to four rows without gradients, as in decoding, read the matrix once in a kernel of our own, which rounds once; from its
///          packed form where there is one, with the same result
/// Threads  the result does not depend on the number of threads
at::Tensor linear(const at::Tensor& x, const Matrix& w, const at::Tensor& bias = {}, const LinearFinish& finish = {});

/// Whether `x` is few enough rows, of a dtype and a device, and nothing to be differentiated, for the kernels of decoding.
[[nodiscard]] bool decodes(const at::Tensor& x);

}  // namespace everlong::ops
