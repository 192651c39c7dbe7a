#pragma once
// One table from which every comparison of a fast path with its reference takes its tolerance.

#include <cstdint>

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

namespace everlong::testing {

struct Tolerance {
  double relative = 0;  ///< of the largest magnitude in the expected tensor
  double absolute = 0;
};

/// Half the distance between 1 and the next number: 2^-53, 2^-24, 2^-11 (fp16) or 2^-8 (bf16).
[[nodiscard]] double unit_roundoff(at::ScalarType dtype);

/// The error that rounding may cause in a sum of `reduction_len` terms accumulated in `accumulated` and returned in `returned`.
/// Math     4 (sqrt(reduction_len) + 4) u(accumulated) + u(returned) if it is coarser: rounding errors add like a random walk; 4 standard deviations
/// Units    relative to the largest expected magnitude
[[nodiscard]] Tolerance tolerance_for(int64_t reduction_len, at::ScalarType accumulated, at::ScalarType returned);
[[nodiscard]] inline Tolerance tolerance_for(int64_t reduction_len, at::ScalarType dtype) { return tolerance_for(reduction_len, dtype, dtype); }

/// Succeeds if shapes agree and max|actual - expected| <= absolute + relative max|expected|; compared in fp64, NaN and infinity must agree in place.
/// The failure names the worst entry, its values, the maximal absolute error and the relative root mean square error.
[[nodiscard]] ::testing::AssertionResult all_close(const at::Tensor& actual, const at::Tensor& expected, Tolerance tolerance);

/// Succeeds if shapes, dtypes and all values agree exactly; NaN equals NaN.
[[nodiscard]] ::testing::AssertionResult all_equal(const at::Tensor& actual, const at::Tensor& expected);

}  // namespace everlong::testing
