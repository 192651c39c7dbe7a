#pragma once
// The element-wise parts of gated layers, one pass over memory each, forward and backward.
//
// Every matrix is rows of `width` values with a stride of its own, so that slices of a wider projection are read where they lie.

#include <cstdint>

#include "everlong/kernels/cpu/dropout_mask.h"
#include "everlong/kernels/cpu/parallel.h"

namespace everlong::kernels {

/// T is float, or uint16_t holding bfloat16; arithmetic is fp32.
template <class T>
struct StridedRows {
  T* data = nullptr;
  int64_t stride = 0;  ///< elements from one row to the next
};

struct RowsShape {
  int64_t num_rows = 0;
  int64_t width = 0;
};

/// Rows in a block whose partial sums over rows are added up on their own; blocks are then added in order, whatever the threads.
inline constexpr int64_t kRowsPerBlock = 256;
[[nodiscard]] inline int64_t num_row_blocks(int64_t num_rows) { return (num_rows + kRowsPerBlock - 1) / kRowsPerBlock; }

/// y = a silu(b)
template <class T>
struct SiluMul {
  RowsShape shape;
  StridedRows<const T> a, b;
  StridedRows<T> y;
  StridedRows<const T> dy = {};  ///< backward only, with da and db
  StridedRows<T> da = {}, db = {};
};

/// y = drop(x) + residual
template <class T>
struct Dropout {
  RowsShape shape;
  DropoutMask mask;
  StridedRows<const T> x;
  StridedRows<const T> residual;  ///< without data: none
  StridedRows<T> y;
};

/// y = drop(silu(a + w x)), w [width]
template <class T>
struct SiluResidual {
  RowsShape shape;
  DropoutMask mask;
  StridedRows<const T> a, x;
  const float* w = nullptr;
  StridedRows<T> y;
  StridedRows<const T> dy;  ///< backward only
  StridedRows<T> da, dx;
  float* dw_blocks = nullptr;  ///< [num_row_blocks, width] partial sums
};

/// y = x + sigmoid(gate) (drop(silu(a + b)) - x)
template <class T>
struct GatedUpdate {
  RowsShape shape;
  DropoutMask mask;
  StridedRows<const T> x, gate, a, b;
  StridedRows<T> y;
  StridedRows<const T> dy = {};                  ///< backward only
  StridedRows<T> dx = {}, dgate = {}, dab = {};  ///< dab is the gradient of a and of b
};

/// y = w x / sqrt(mean(x^2) + eps), w [width] or one scalar
template <class T>
struct RmsNorm {
  RowsShape shape;
  StridedRows<const T> x;
  const float* weight = nullptr;  ///< null = 1
  bool scalar_weight = false;
  float eps = 0;
  StridedRows<T> y;
  float* rstd = nullptr;    ///< [num_rows]: written by the forward, read by the backward
  StridedRows<const T> dy;  ///< backward only
  StridedRows<T> dx;
  float* dw_blocks = nullptr;  ///< [num_row_blocks, width], or [num_row_blocks] for a scalar; null = not wanted
};

template <class T>
void forward(const SiluMul<T>& op, const ParallelFor& parallel_for);
template <class T>
void backward(const SiluMul<T>& op, const ParallelFor& parallel_for);
template <class T>
void forward(const Dropout<T>& op, const ParallelFor& parallel_for);
template <class T>
void forward(const SiluResidual<T>& op, const ParallelFor& parallel_for);
template <class T>
void backward(const SiluResidual<T>& op, const ParallelFor& parallel_for);
template <class T>
void forward(const GatedUpdate<T>& op, const ParallelFor& parallel_for);
template <class T>
void backward(const GatedUpdate<T>& op, const ParallelFor& parallel_for);
template <class T>
void forward(const RmsNorm<T>& op, const ParallelFor& parallel_for);
template <class T>
void backward(const RmsNorm<T>& op, const ParallelFor& parallel_for);

}  // namespace everlong::kernels
