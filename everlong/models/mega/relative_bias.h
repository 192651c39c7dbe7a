#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "everlong/models/mega/config.h"
#include "everlong/nn/derived.h"

namespace everlong::models::mega {

/// A learned bias on attention scores that depends on the distance of key and query alone.
/// Math     simple: w[M - 1 + j - i], M = bias_positions();  rotary: <rotate(alpha, i), rotate(beta, j)>, which is Toeplitz
/// Shapes   returns the vector [2 A - 1]: entry A - 1 + (j - i)
/// Errors   InvalidArgument if a simple bias has fewer positions than A
/// Source   specification 2.6. Exact; the rotary form in closed form, O(A Z) instead of O(A^2 Z).
class RelativeBiasModule : public torch::nn::Module {
 public:
  explicit RelativeBiasModule(const Config& config);
  at::Tensor forward(int64_t attention_len) const;

 private:
  [[nodiscard]] at::Tensor rotary(int64_t attention_len) const;

  mutable nn::Derived<at::Tensor> longest_;  ///< of a rotary bias: shorter ones are its middle
  bool rotary_;
  int64_t positions_;
  at::Tensor table_, alpha_, beta_;
};

}  // namespace everlong::models::mega
