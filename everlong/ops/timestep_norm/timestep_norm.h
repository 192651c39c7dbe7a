#pragma once
// Timestep norm: group normalisation over all tokens so far. As functions on tensors, with their gradients.

#include <cstdint>
#include <optional>

#include <ATen/core/Tensor.h>

namespace everlong::ops {

/// What timestep norm knows of the tokens before a call. A row of count 0 has seen nothing: its mean and variance have no weight and are not read.
struct TimestepNormState {
  at::Tensor count;     ///< [B] int64, tokens seen since the last restart; the true number, also where the weight is capped
  at::Tensor mean;      ///< [B, G] fp64
  at::Tensor variance;  ///< [B, G] fp64, of the population
};

struct TimestepNormOptions {
  std::optional<TimestepNormState> state = {};  ///< none = nothing seen yet
  std::optional<at::Tensor> restart = {};       ///< [B, T] bool: forgets everything before this token; ignored where the token is padding
  std::optional<at::Tensor> lengths = {};       ///< [B] int64: tokens from lengths[b] on are padding; none = T
  std::optional<at::Tensor> mask = {};          ///< [B, T] bool: false = padding, anywhere in the row; none = all are tokens
  int64_t count_cap = 0;                        ///< 0 = exact; else a new token never weighs less than 1 / count_cap: old ones fade
  double eps = 1e-5;
};

struct TimestepNormResult {
  at::Tensor output;        ///< [B, T, D], dtype of x
  TimestepNormState state;  ///< after the last token; mean 0 and variance 1 where there has been none
};

/// Normalises each group of features by the mean and variance of all tokens so far, the current one included.
/// Math     with gu, gv = mean and population variance of the D / G features of a group in token t, n = count_{t-1} + 1 (at most count_cap):
///          d = gu - mean_{t-1} ;  mean_t = mean_{t-1} + d / n ;  var_t = (1 - 1/n) (var_{t-1} + d^2 / n) + gv / n
///          y = (x_t - mean_t) (var_t + eps)^(-1/2) (weight + 1) + bias
/// Shapes   x [B, T, D]; weight, bias [D]; group g owns features g D/G .. (g+1) D/G - 1; returns output [B, T, D] and the state
/// Dtypes   x fp64, fp32 or bf16; weight and bias floating point, used in fp32 (fp64 with x in fp64); statistics and the state always fp64
/// Units    weight is stored as an offset from 1; eps > 0; every size at least 1; variances >= 0 (not checked)
/// State    read and returned; incoming mean and variance receive gradients, and gradients of the returned ones are followed back
/// Padding  is not read: it gives zero, leaves the state as it is, and its gradient is zero
/// Cost     O(B T D) time, bound by memory: one read and one write of x; saves x, 12 bytes a token and group. In fp64 the speed of the reference.
/// Errors   InvalidArgument if a shape, dtype or device disagrees, G does not divide D, or a number is out of range, with both sides in the
///          message; Unsupported if differentiated twice
/// Threads  the result depends neither on the number of threads nor on how a sequence is cut into calls, not by a bit
/// Source   Megalodon, arXiv 2404.08801, section 3.2; megalodon csrc/ops/timestep_norm.cc. Differs: statistics in fp64 instead of fp32 with
///          compensation; restarts, lengths and count_cap are additions.
/// See      docs/ops/timestep_norm.md
TimestepNormResult timestep_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t num_groups,
                                 const TimestepNormOptions& options = {});

/// The same by its equation, one token at a time: slow, any device, differentiable by torch. The oracle of `timestep_norm` in tests.
TimestepNormResult timestep_norm_reference(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t num_groups,
                                           const TimestepNormOptions& options = {});

/// Normalises each group of features by the mean and variance of the whole sequence: the relative of timestep norm that is not causal.
/// Math     y = (x - mean) (var + eps)^(-1/2) (weight + 1) + bias, mean and population variance over all tokens of a row x D/G features
/// Shapes   x [B, T, D]; weight, bias [D]; mask [B, T] bool, false = padding anywhere; returns [B, T, D]
/// Dtypes   x fp64, fp32 or bf16; computed in fp32 (fp64 with x in fp64); returned in the dtype of x
/// Padding  is not read and gives zero; a row of padding alone is zero
/// Errors   as timestep_norm
/// Source   megalodon csrc/ops/sequence_norm.cc. Differs: the mask is true for tokens instead of padding.
at::Tensor sequence_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t num_groups,
                         const std::optional<at::Tensor>& mask = {}, double eps = 1e-5);

}  // namespace everlong::ops
