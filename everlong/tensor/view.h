#pragma once
// Views without the bookkeeping of differentiation, and conversions that cost nothing where there is nothing to convert.

#include <ATen/core/Tensor.h>

namespace everlong {

/// Views the memory of `tensor` otherwise, from the element where it begins: what as_strided() does at a tenth of its cost, of which a token of
/// decoding would take dozens. For inference alone: a gradient does not find its way through it.
[[nodiscard]] at::Tensor plain_view(const at::Tensor& tensor, at::IntArrayRef sizes, at::IntArrayRef strides);

/// The entries [begin, begin + length) of an axis, which must be there: likewise in inference, by narrow() where a gradient may be wanted.
[[nodiscard]] at::Tensor plain_narrow(const at::Tensor& tensor, int64_t axis, int64_t begin, int64_t length);

/// The tensor itself if it is of that type already (to() asks the dispatcher first), or if there is none.
[[nodiscard]] inline at::Tensor as_dtype(const at::Tensor& tensor, at::ScalarType dtype) {
  return !tensor.defined() || tensor.scalar_type() == dtype ? tensor : tensor.to(dtype);
}

}  // namespace everlong
