#pragma once
// The damped EMA as a function on tensors, with its gradient.

#include <optional>

#include <ATen/core/Tensor.h>

namespace everlong::ops {

struct EmaOptions {
  std::optional<at::Tensor> state = {};    ///< [B, D, N], dtype of q: carried in; none = zeros
  std::optional<at::Tensor> restart = {};  ///< [B, T] bool: the state is zero before this token, in scan order
  std::optional<at::Tensor> lengths = {};  ///< [B] int64: tokens from lengths[b] on are padding; none = T
  bool reverse = false;                    ///< runs from the last token to the first
};

struct EmaResult {
  at::Tensor output;  ///< [B, T, D], dtype of x
  at::Tensor state;   ///< [B, D, N], dtype of q, after the last token
};

/// Filters every channel of x with a sum of N damped exponential moving averages.
/// Math     h_t = q h_{t-1} + x_t ;  y_t = sum_n c_n h_{t,n}      with q = 1 - sigmoid(delta) sigmoid(alpha), c = coefficients
/// Shapes   x [B, T, D]; q [D, N]; c [D, N]; returns output [B, T, D], state [B, D, N]
/// Dtypes   x fp64, fp32 or bf16; q, c and the state fp32 (fp64 with x in fp64); sums in the state's dtype
/// Units    0 <= q < 1 (not checked); every size at least 1
/// State    read and returned; an initial state receives a gradient, and a gradient of the returned state is followed back
/// Padding  tokens from lengths[b] on are not read: they give zero and leave the state as it is
/// Cost     2 N FMA and one read and write a value; backward 6 N FMA and stores nothing but x. In fp64 the speed of the reference.
/// Errors   InvalidArgument if a shape, dtype or device disagrees, with both sides in the message; Unsupported if differentiated twice
/// Threads  the result does not depend on the number of threads
/// Source   MEGA, arXiv 2209.10655, section 3.1, equations 1-3. Differs: a scan instead of an FFT; exact, and it carries a state.
/// See      docs/ops/ema.md
EmaResult ema(const at::Tensor& x, const at::Tensor& q, const at::Tensor& c, const EmaOptions& options = {});

/// The same by its equation, one token at a time: slow, any device, differentiable by torch. The oracle of `ema` in tests.
EmaResult ema_reference(const at::Tensor& x, const at::Tensor& q, const at::Tensor& c, const EmaOptions& options = {});

}  // namespace everlong::ops
