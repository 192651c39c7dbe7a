#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace everlong::models::megalodon {

/// The angles a position turns each pair of features by: 1 / base^(2 j / width) for j in [0, width / 2).
/// Dtypes   returns fp32 [width / 2]: the exponent in fp64, the power rounded to fp32, its reciprocal taken in fp32
/// Source   megalodon/modules/rotary_positional_embedding.py of the release; specification 2.8. Exact.
[[nodiscard]] at::Tensor rotary_frequencies(int64_t width, double base);

/// The turns of positions as complex numbers of modulus one. Shapes  positions [*] int64; returns [*, width / 2]
/// Dtypes   angles in fp64, then `complex_dtype`
[[nodiscard]] at::Tensor rotary_turns(const at::Tensor& positions, const at::Tensor& frequencies, at::ScalarType complex_dtype);

/// Turns adjacent pairs (2 j, 2 j + 1) of every head. Shapes  x [B, T, H z]; turns [B or 1, T, z / 2]; returns as x
/// Dtypes   x real, turns complex of the same precision
/// Source   specification 2.8. Exact.
[[nodiscard]] at::Tensor rotate(const at::Tensor& x, const at::Tensor& turns);

}  // namespace everlong::models::megalodon
