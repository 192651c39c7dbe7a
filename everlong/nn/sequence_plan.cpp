#include "everlong/nn/sequence_plan.h"

#include <algorithm>

#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::nn {
namespace {

std::vector<int64_t> lengths_of(const at::Tensor& valid) {
  const at::Tensor flags = valid.to(at::kCPU, at::kBool).contiguous();
  const bool* data = flags.const_data_ptr<bool>();
  std::vector<int64_t> lengths;
  for (int64_t row = 0; row < flags.size(0); ++row) {
    int64_t length = flags.size(1);
    while (length > 0 && !data[row * flags.size(1) + length - 1]) --length;
    lengths.push_back(length);
  }
  return lengths;
}

/// Cuts a row where the document changes.
void add_segments(SequencePlan& plan, int64_t row, const int64_t* documents) {
  int64_t begin = 0, position = plan.start_position[static_cast<size_t>(row)];
  const int64_t length = plan.length[static_cast<size_t>(row)];
  for (int64_t t = 1; t <= length; ++t) {
    const bool cut = t == length || (documents != nullptr && documents[t] != documents[t - 1]);
    if (!cut) continue;
    plan.segments.push_back({.row = row, .begin = begin, .len = t - begin, .position = position});
    if (t < length) position = 0;
    if (t == length) plan.end_position[static_cast<size_t>(row)] = position + t - begin;
    begin = t;
  }
}

}  // namespace

bool SequencePlan::uniform() const {
  if (restart || lengths) return false;
  return std::all_of(start_position.begin(), start_position.end(), [&](int64_t position) { return position == start_position.front(); });
}

std::vector<std::vector<int64_t>> SequencePlan::document_starts() const {
  std::vector<std::vector<int64_t>> starts(static_cast<size_t>(batch_size));
  for (const Segment& segment : segments)
    if (segment.begin > 0) starts[static_cast<size_t>(segment.row)].push_back(segment.begin);
  return starts;
}

SequencePlan plan_sequence(int64_t batch_size, int64_t seq_len, const State& state, const std::optional<at::Tensor>& valid,
                           const std::optional<at::Tensor>& document_ids) {
  const auto start_position = state.empty() ? std::vector<int64_t>(static_cast<size_t>(batch_size), 0) : state.positions();
  SequencePlan plan{.batch_size = batch_size, .seq_len = seq_len, .start_position = start_position, .end_position = start_position};
  if (valid) require_shape("forward", "valid", *valid, "[B, T]", {batch_size, seq_len});
  if (document_ids) require_shape("forward", "document_ids", *document_ids, "[B, T]", {batch_size, seq_len});

  plan.length = valid ? lengths_of(*valid) : std::vector<int64_t>(static_cast<size_t>(batch_size), seq_len);
  const bool whole = std::all_of(plan.length.begin(), plan.length.end(), [&](int64_t length) { return length == seq_len; });
  if (!whole) plan.lengths = at::tensor(plan.length, at::kLong);

  const at::Tensor documents = document_ids ? document_ids->to(at::kCPU, at::kLong).contiguous() : at::Tensor();
  for (int64_t row = 0; row < batch_size; ++row)
    add_segments(plan, row, documents.defined() ? documents.const_data_ptr<int64_t>() + row * seq_len : nullptr);

  if (static_cast<int64_t>(plan.segments.size()) > batch_size) {
    const at::Tensor restart = at::zeros({batch_size, seq_len}, at::kBool);
    for (const Segment& segment : plan.segments)
      if (segment.begin > 0) restart[segment.row][segment.begin] = true;
    plan.restart = restart;
  }
  return plan;
}

}  // namespace everlong::nn
