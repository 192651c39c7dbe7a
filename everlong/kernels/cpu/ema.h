#pragma once
// The damped EMA on plain memory. The same structs go to the CPU kernels below and to those of kernels/cuda/ema.h.

#include <cstdint>

#include "everlong/kernels/cpu/parallel.h"

namespace everlong::kernels {

/// Element type of a kernel's inputs and outputs; parameters and states are always float.
enum class Element : int32_t { kFloat, kBFloat16 };

/// Sizes and options that forward and backward share.
/// Shapes   rows are [B, T, D] with contiguous channels; states [B, D, N] and parameters [D, N] are contiguous
struct EmaShape {
  int64_t batch_size = 0;  ///< B
  int64_t seq_len = 0;     ///< T
  int64_t model_dim = 0;   ///< D
  int64_t ema_ndim = 0;    ///< N
  Element element = Element::kFloat;
  bool reverse = false;              ///< scans from the last token to the first
  const bool* restart = nullptr;     ///< [B, T] or null: the state is zero before this token, in scan order
  const int64_t* lengths = nullptr;  ///< [B] or null: tokens from lengths[b] on are not read, not written to the state, and give zero
};

/// A [B, T, D] array: element (b, t, d) is at data[b * batch_stride + t * time_stride + d].
template <class Pointer>
struct Rows {
  Pointer data = nullptr;
  int64_t batch_stride = 0;
  int64_t time_stride = 0;
};
using ConstRows = Rows<const void*>;
using MutableRows = Rows<void*>;

/// h_t = q h_{t-1} + x_t ; y_t = sum_n c_n h_{t,n}
struct EmaForward {
  EmaShape shape;
  ConstRows x;
  MutableRows y;
  const float* q = nullptr;
  const float* c = nullptr;
  const float* state_in = nullptr;  ///< null = zeros; may be state_out
  float* state_out = nullptr;
  float* workspace = nullptr;  ///< ema_forward_workspace() floats
};

/// The gradients of EmaForward, from its inputs alone.
/// Math     e_t = q e_{t-1} + h_{t-1} is dh_t/dq ; dc = sum dy_t h_t ; dq = c sum dy_t e_t + dstate_out e_T
///          lambda_t = c dy_t + q lambda_{t+1} with lambda_T = dstate_out ; dx_t = sum_n lambda_{t,n} ; dstate_in = q lambda_0
struct EmaBackward {
  EmaShape shape;
  ConstRows x;
  ConstRows dy;
  MutableRows dx;  ///< null = not wanted, and dstate_in neither
  const float* q = nullptr;
  const float* c = nullptr;
  const float* state_in = nullptr;    ///< null = zeros
  const float* dstate_out = nullptr;  ///< gradient of the final state; null = zeros
  float* dstate_in = nullptr;         ///< null = not wanted
  float* dq = nullptr;                ///< null = not wanted, and dc neither
  float* dc = nullptr;
  float* workspace = nullptr;  ///< ema_backward_workspace() floats
};

/// Floats of scratch memory that a call needs; they start anywhere that is aligned to 64 bytes and hold nothing between calls.
[[nodiscard]] int64_t ema_forward_workspace(const EmaShape& shape);
[[nodiscard]] int64_t ema_backward_workspace(const EmaShape& shape);

/// Runs the scan and writes y and state_out.
/// Units    sizes >= 1; pointers as their structs say; lengths in [0, T]
/// Cost     2 N fused multiply-adds an element; x is read once and y written once
/// Threads  by (batch, 16 channels); results do not depend on how `parallel_for` cuts
void ema_forward(const EmaForward& call, const ParallelFor& parallel_for);

/// Writes every gradient that has a place to go to.
/// Cost     6 N fused multiply-adds an element; x is read once and dy twice; nothing is stored per token
/// Threads  as ema_forward; sums over the batch run in its order
void ema_backward(const EmaBackward& call, const ParallelFor& parallel_for);

/// Name of the instruction set that the calls above use on this machine, for benchmarks.
[[nodiscard]] const char* ema_target();

}  // namespace everlong::kernels
