#pragma once
// Batched matrix products of pieces whose lengths differ from call to call.

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace everlong::ops {

/// The length that a ragged product of length `size` is computed with: longer by less than 64 or by at most half, and one of few.
[[nodiscard]] int64_t round_length(int64_t size);

/// out = a b, for matrices on the CPU or another device.
/// A bfloat16 product of each new shape makes oneDNN compile a program of 1 to 2 MB, in about 2 ms, and keep it. A single matrix (the piece of a
/// chunk that a document's start leaves, as a rule) is therefore padded with zeros to lengths of round_length(); equal pieces come as a batch and are
/// few in kind. Shapes   a [G, R, K]; b [G, K, C]; out [G, R, C], of any strides
void product(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b);

}  // namespace everlong::ops
