#pragma once
// The complex EMA on plain memory. Complex numbers are pairs along the last axis: real, imaginary.

#include <cstdint>

#include "everlong/kernels/cpu/ema.h"

namespace everlong::kernels {

/// h_t = q h_{t-1} + x_t ; y_t = sum_n Re(c_n h_{t,n}) + omega x_t
/// Shapes   rows and options as EmaShape says; q, c [D, N, 2]; omega [D]; states [B, D, N, 2]
struct ComplexEmaForward {
  EmaShape shape;
  ConstRows x;
  MutableRows y;
  const float* q = nullptr;
  const float* c = nullptr;
  const float* omega = nullptr;
  const float* state_in = nullptr;  ///< null = zeros; may be state_out
  float* state_out = nullptr;
  float* workspace = nullptr;  ///< complex_ema_forward_workspace() floats
};

/// The gradients of ComplexEmaForward, from its inputs alone: of a complex z, d/dRe z and d/dIm z.
/// Math     e_t = q e_{t-1} + h_{t-1} is dh_t/dq ; dc = conj(sum dy_t h_t) ; dq = conj(c sum dy_t e_t + conj(dstate_out) e_T)
///          m_t = c dy_t + q m_{t+1} with m_T = conj(dstate_out) ; dx_t = sum_n Re(m_{t,n}) + omega dy_t ; dstate_in = conj(q m_0)
///          domega = sum dy_t x_t
struct ComplexEmaBackward {
  EmaShape shape;
  ConstRows x;
  ConstRows dy;
  MutableRows dx;  ///< null = not wanted, and dstate_in neither
  const float* q = nullptr;
  const float* c = nullptr;
  const float* omega = nullptr;
  const float* state_in = nullptr;    ///< null = zeros
  const float* dstate_out = nullptr;  ///< gradient of the final state; null = zeros
  float* dstate_in = nullptr;         ///< null = not wanted
  float* dq = nullptr;                ///< null = not wanted, and neither are dc and domega
  float* dc = nullptr;
  float* domega = nullptr;
  float* workspace = nullptr;  ///< complex_ema_backward_workspace() floats
};

/// Floats of scratch memory that a call needs; they start anywhere that is aligned to 64 bytes and hold nothing between calls.
[[nodiscard]] int64_t complex_ema_forward_workspace(const EmaShape& shape);
[[nodiscard]] int64_t complex_ema_backward_workspace(const EmaShape& shape);

/// Runs the scan and writes y and state_out.
/// Units    sizes >= 1; pointers as their structs say; lengths in [0, T]
/// Cost     6 N + 1 multiply-adds an element; x is read once and y written once
/// Threads  by (batch, 16 channels); results do not depend on how `parallel_for` cuts
void complex_ema_forward(const ComplexEmaForward& call, const ParallelFor& parallel_for);

/// Writes every gradient that has a place to go to.
/// Cost     18 N + 2 multiply-adds an element; x is read once and dy twice; nothing is stored per token
/// Threads  as complex_ema_forward; sums over the batch run in its order
void complex_ema_backward(const ComplexEmaBackward& call, const ParallelFor& parallel_for);

}  // namespace everlong::kernels
