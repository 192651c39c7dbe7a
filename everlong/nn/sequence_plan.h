#pragma once
// What one call reads: for each row where it stands in its document, how much of the call is not padding, and where documents begin.

#include <cstdint>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "everlong/nn/state.h"

namespace everlong::nn {

/// A run of tokens of one document within one row of a call.
struct Segment {
  int64_t row = 0;
  int64_t begin = 0;     ///< index in the call
  int64_t len = 0;       ///< tokens; >= 1
  int64_t position = 0;  ///< of its first token within the document
};

struct SequencePlan {
  int64_t batch_size = 0;
  int64_t seq_len = 0;
  std::vector<int64_t> start_position;  ///< [B] position of each row before the call
  std::vector<int64_t> length;          ///< [B] tokens read: up to and including the last one that is not padding
  std::vector<int64_t> end_position;    ///< [B] position of each row after the call, in the document it ends in
  std::vector<Segment> segments;        ///< row by row, in order
  std::optional<at::Tensor> restart;    ///< [B, T] bool where a document begins inside the call; none if nowhere
  std::optional<at::Tensor> lengths;    ///< [B] int64 where some row ends early; none if all rows are read whole

  /// All rows stand at one position, are read whole, and no document begins inside the call.
  [[nodiscard]] bool uniform() const;
  /// [B] indices in the call at which a document begins.
  [[nodiscard]] std::vector<std::vector<int64_t>> document_starts() const;
};

/// Plans a call of B x T tokens that continues `state`; an empty one means that every row starts here.
/// Shapes   valid [B, T] bool or none; document_ids [B, T] int64 or none: a change from one token to the next begins a document
/// Errors   InvalidArgument if a shape disagrees
SequencePlan plan_sequence(int64_t batch_size, int64_t seq_len, const State& state, const std::optional<at::Tensor>& valid,
                           const std::optional<at::Tensor>& document_ids);

}  // namespace everlong::nn
