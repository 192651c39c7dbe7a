#pragma once
// A matrix times a few vectors: what decoding spends its time on. Bound by reading the matrix once.

#include <cstdint>

#include "everlong/kernels/cpu/packed_matrix.h"
#include "everlong/kernels/cpu/parallel.h"

namespace everlong::kernels {

/// y = f(x w^T + bias) + residual for a few rows x, f the identity or silu. T is float, or uint16_t holding bfloat16; all arithmetic is fp32, and y
/// is rounded once. Processors that multiply pairs of bfloat16 themselves take values below 2^-126 for zero.
template <class T>
struct MatVec {
  int64_t num_rows = 0;  ///< at most kMatVecRows
  int64_t in_features = 0;
  int64_t out_features = 0;
  const T* x = nullptr;         ///< [num_rows, in_features]
  const T* w = nullptr;         ///< [out_features, in_features]
  PackedMatrix packed = {};     ///< w, to be read in its place; or none
  const float* bias = nullptr;  ///< [out_features] or null
  bool silu = false;
  const T* residual = nullptr;  ///< [num_rows, out_features] or null; may be y
  T* y = nullptr;               ///< [num_rows, out_features]
};

inline constexpr int64_t kMatVecRows = 4;

/// Cost     reads w once, or its packed form and those rows of w that are not packed; y is the same to the bit
/// Threads  a sum is made by one thread in one order: the result does not depend on their number
template <class T>
void matvec(const MatVec<T>& op, const ParallelFor& parallel_for);

}  // namespace everlong::kernels
