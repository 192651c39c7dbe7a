#pragma once
// MEGA's parameters of the damped EMA.

#include <ATen/core/Tensor.h>

namespace everlong::ops {

/// MEGA's trained parameters, all [D, N], under the names of their checkpoints.
struct DampedEmaParameters {
  at::Tensor damping;     ///< logits of the input weight p (`damping_factor`; delta in fairseq)
  at::Tensor decay;       ///< logits of p's partner in the decay (`decay_factor`; alpha in fairseq)
  at::Tensor expansion;   ///< beta (`ema_expansion_matrix`)
  at::Tensor projection;  ///< gamma (`kernel_projection_matrix`)
};

/// What `ema` takes, and what turns its state into the one that MEGA publishes.
struct EmaCoefficients {
  at::Tensor q;             ///< [D, N]
  at::Tensor c;             ///< [D, N]
  at::Tensor input_weight;  ///< [D, N], p expansion: published state = input_weight h
};

/// Turns MEGA's parameters into the decay q and the output weights c of `ema`, differentiably.
/// Math     p = sigmoid(damping) ; q = 1 - min(p sigmoid(decay), 1 - 2^-24) ; c = p expansion projection sqrt(1 / N)
/// Shapes   all [D, N]
/// Dtypes   fp64 stays, everything else is computed and returned in fp32
/// Units    0 < q <= 1: the bound keeps q positive where both sigmoids round to 1; q = 1 in fp32 only where their product is below 2^-25
/// Errors   InvalidArgument if the shapes or dtypes differ
/// Source   MEGA, arXiv 2209.10655, section 3.1; Hugging Face modeling_mega.py, MegaMultiDimensionDampedEma. Differs: q is bounded away from 0.
[[nodiscard]] EmaCoefficients damped_ema_coefficients(const DampedEmaParameters& parameters);

}  // namespace everlong::ops
