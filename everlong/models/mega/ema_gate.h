#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "everlong/models/mega/config.h"
#include "everlong/nn/derived.h"
#include "everlong/nn/sequence_plan.h"
#include "everlong/ops/ema/damped_ema.h"

namespace everlong::models::mega {

/// Filters the normed input with damped exponential moving averages and adds it back: drop(silu(EMA(x) + omega x)).
/// Shapes   x [B, T, D]; state.h [B, D, N] fp32; returns [B, T, D]
/// State    forward direction only; in and out. `truncation` holds without a state only, as in both upstream codes.
/// Source   MEGA, arXiv 2209.10655, section 3.1; specification 2.5. Differs: log1p and a clamp of p a below 1.
class EmaGate : public torch::nn::Module {
 public:
  explicit EmaGate(const Config& config);

  struct Result {
    at::Tensor output;
    at::Tensor state;  ///< undefined for a bidirectional gate
  };
  /// `state` undefined = nothing read; `cached` = a state is being carried, even if it is fresh.
  Result forward(const at::Tensor& x, const std::optional<at::Tensor>& valid, const nn::SequencePlan& plan, const at::Tensor& state, bool cached) const;

  /// Shapes  [D, N], or [2 D, N] where the second half filters from the right.
  [[nodiscard]] ops::EmaCoefficients coefficients() const;
  [[nodiscard]] const at::Tensor& residual() const { return residual_; }  ///< [D]: omega

 private:
  mutable nn::Derived<ops::EmaCoefficients> coefficients_;
  at::Tensor truncated_tail(const at::Tensor& x, const nn::SequencePlan& plan, const ops::EmaCoefficients& coefficients, int64_t first, bool reverse) const;

  int64_t model_dim_;
  bool bidirectional_;
  std::optional<int64_t> truncation_;
  double dropout_;
  bool by_feature_;  ///< drops whole features over time
  at::Tensor damping_, decay_, expansion_, projection_, residual_;
};

}  // namespace everlong::models::mega
