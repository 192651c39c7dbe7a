#pragma once
// What attention over the whole past needs to know of the tokens of a call: where each stands, and which keys it sees.

#include <optional>

#include <ATen/core/Tensor.h>

#include "everlong/nn/chunk_window.h"
#include "everlong/nn/sequence_plan.h"

namespace everlong::nn {

/// Finds the position of every token within its document. Padding behind a row's last token is at 0 where rows differ.
/// Shapes   returns [1, T] where all rows agree, else [B, T]; int64 on the CPU
[[nodiscard]] at::Tensor token_positions(const SequencePlan& plan);

/// Finds which keys each token of a call may see: those of its document up to itself that are no padding. A token that sees nothing else, as padding
/// before a text does, sees itself, so that no row of a softmax is empty.
/// Shapes   returns [B, 1, T, P + T] bool, true = visible; none where plain causality (P = 0) or all keys (T = 1) are meant in every row
[[nodiscard]] std::optional<at::Tensor> visible_keys(const SequencePlan& plan, const ChunkWindow& window, at::Device device);

}  // namespace everlong::nn
