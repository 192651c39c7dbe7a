#pragma once
// One vector a sequence.

#include <optional>

#include <ATen/core/Tensor.h>

namespace everlong::models {

/// The mean hidden state of each row over what is not padding; summed in fp32 (fp64 if hidden is).
/// Shapes   hidden [B, T, D]; valid [B, T] bool or none; returns [B, D]. A row of padding gives 0
[[nodiscard]] at::Tensor mean_hidden(const at::Tensor& hidden, const std::optional<at::Tensor>& valid);

}  // namespace everlong::models
