#pragma once

#include <array>
#include <string_view>
#include <utility>

#include <ATen/core/Tensor.h>

#include "everlong/ops/gates/gates.h"

namespace everlong::nn {

enum class Activation { silu, relu, linear, gelu, gelu_accurate };

inline constexpr std::array<std::pair<std::string_view, Activation>, 5> kActivationNames{{{"silu", Activation::silu},
                                                                                          {"relu", Activation::relu},
                                                                                          {"linear", Activation::linear},
                                                                                          {"gelu", Activation::gelu},
                                                                                          {"gelu_accurate", Activation::gelu_accurate}}};

/// Applies an activation element by element. gelu uses erf; gelu_accurate is the tanh form, as fairseq and Hugging Face name them.
[[nodiscard]] at::Tensor activate(Activation activation, const at::Tensor& x);

/// What to drop in this call: nothing but in training. The seed is drawn from the default generator, which activation checkpointing puts back,
/// so that a second run drops the same values. first_row: number of the first row where a part of a batch is given, in order that parts drop what the
/// whole would.
[[nodiscard]] ops::DropoutSpec draw_dropout(double p, bool training, int64_t first_row = 0);

/// Drops single values with probability p and scales the rest by 1 / (1 - p), in training only; adds `residual` where one is given.
[[nodiscard]] at::Tensor dropout(const at::Tensor& x, double p, bool training, const at::Tensor& residual = {}, int64_t first_row = 0);

/// Drops whole features over time. Shapes  x [B, T, D]: one decision a (row, feature).
[[nodiscard]] at::Tensor feature_dropout(const at::Tensor& x, double p, bool training);

}  // namespace everlong::nn
