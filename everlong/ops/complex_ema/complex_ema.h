#pragma once
// The complex EMA of Megalodon as a function on tensors, with its gradient. Complex numbers are pairs along the last axis: real, imaginary.

#include <optional>

#include <ATen/core/Tensor.h>

namespace everlong::ops {

struct ComplexEmaOptions {
  std::optional<at::Tensor> state = {};    ///< [B, D, N, 2], dtype of q: carried in, with input weight 1; none = zeros
  std::optional<at::Tensor> restart = {};  ///< [B, T] bool: the state is zero before this token, in scan order
  std::optional<at::Tensor> lengths = {};  ///< [B] int64: tokens from lengths[b] on are padding; none = T
  bool reverse = false;                    ///< runs from the last token to the first
};

struct ComplexEmaResult {
  at::Tensor output;  ///< [B, T, D], dtype of x
  at::Tensor state;   ///< [B, D, N, 2], dtype of q, after the last token
};

/// Filters every channel of x with a sum of N damped oscillations, and adds the input itself.
/// Math     h_t = q h_{t-1} + x_t ;  y_t = sum_n Re(c_n h_{t,n}) + omega x_t      h, q and c complex
/// Shapes   x [B, T, D]; q [D, N, 2]; c [D, N, 2]; omega [D]; returns output [B, T, D], state [B, D, N, 2]
/// Dtypes   x fp64, fp32 or bf16; q, c, omega and the state fp32 (fp64 with x in fp64); sums in the state's dtype
/// Units    0 <= |q| < 1 (not checked); every size at least 1
/// State    read and returned; an initial state receives a gradient, and a gradient of the returned state is followed back
/// Padding  tokens from lengths[b] on are not read: they give zero and leave the state as it is
/// Cost     6 N + 1 multiply-adds and one read and write a value; backward 18 N + 2 and stores nothing but x. In fp64 the speed of the reference.
/// Errors   InvalidArgument if a shape, dtype or device disagrees, with both sides in the message; Unsupported if differentiated twice
/// Threads  the result does not depend on the number of threads
/// Source   Megalodon, arXiv 2404.08801, section 3.1; modules/complex_exponential_moving_average.py of the release. Differs: a scan instead of an
/// FFT;
///          exact, and the carried state has input weight 1 (see ComplexEmaCoefficients).
/// See      docs/ops/complex_ema.md
ComplexEmaResult complex_ema(const at::Tensor& x, const at::Tensor& q, const at::Tensor& c, const at::Tensor& omega,
                             const ComplexEmaOptions& options = {});

/// The same by its equation, one token at a time: slow, any device, differentiable by torch. The oracle of `complex_ema` in tests.
ComplexEmaResult complex_ema_reference(const at::Tensor& x, const at::Tensor& q, const at::Tensor& c, const at::Tensor& omega,
                                       const ComplexEmaOptions& options = {});

/// What `complex_ema` takes, and what turns its state into the one that Megalodon publishes.
struct ComplexEmaCoefficients {
  at::Tensor q;             ///< [D, N, 2]
  at::Tensor c;             ///< [D, N, 2]: p g
  at::Tensor input_weight;  ///< [D, N]: p; published state = input_weight * state
};

/// Turns Megalodon's parameters into the coefficients of `complex_ema`, differentiably.
/// Math     p = sigmoid(alpha) ; |q_n| = 1 - p_n sigmoid(delta_n) ; arg q_n = (2 pi n / N) sigmoid(theta) ; c = p gamma sqrt(1 / N)      n from 1
/// Shapes   alpha, delta [D, N, 1]; theta [D, 1, 1]; gamma [D, N, 2]
/// Dtypes   all four alike; fp64 stays, everything else is computed and returned in fp32
/// Units    0 <= |q| <= 1: 0 where both sigmoids round to 1, 1 only where their product is below half an ulp of 1
/// Errors   InvalidArgument if the shapes or dtypes differ
/// Source   Megalodon, arXiv 2404.08801, section 3.1; modules/complex_exponential_moving_average.py, _calc_coeffs. Exact; the release turns only
///          the recurrent term, unlike the paper's equation, and has the factor sqrt(1 / N).
[[nodiscard]] ComplexEmaCoefficients complex_ema_coefficients(const at::Tensor& alpha, const at::Tensor& delta, const at::Tensor& theta,
                                                              const at::Tensor& gamma);

}  // namespace everlong::ops
