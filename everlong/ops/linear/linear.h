#pragma once

#include <ATen/core/Tensor.h>

namespace everlong::ops {

/// Multiplies by a matrix: x w^T + bias.
/// Shapes   x [*, in]; w [out, in]; bias [out] or undefined; returns [*, out]
/// Dtypes   computes in the dtype of x, casting w and bias; sums at least fp32
/// Cost     torch's product; up to four rows without gradients, as in decoding, read the matrix once in a kernel of our own
/// Threads  the result does not depend on the number of threads
at::Tensor linear(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias = {});

}  // namespace everlong::ops
