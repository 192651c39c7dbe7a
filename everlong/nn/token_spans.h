#pragma once
// Parts of a call whose tokens attend to nobody outside: what a layer computes after its recurrence can be done one part after the other.

#include <cstdint>
#include <vector>

#include "everlong/nn/chunk_window.h"
#include "everlong/tensor/activation_checkpointing.h"

namespace everlong::nn {

/// Cuts a call of B x T tokens into spans of about `tokens` tokens, between the pieces of the window: whole rows together, or parts of one row.
/// Returns  spans that cover every token once; none where the call is too short, sees the past or has no place to cut
[[nodiscard]] std::vector<TokenSpan> plan_spans(const ChunkWindow& window, int64_t batch_size, int64_t seq_len, int64_t tokens);

/// The window of a span as a call of its own. Only what attention within chunks reads, not what caches need.
[[nodiscard]] ChunkWindow window_of(const ChunkWindow& window, const TokenSpan& span);

}  // namespace everlong::nn
