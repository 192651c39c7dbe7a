#include "everlong/data/collate.h"

#include <algorithm>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/tensor/torch.h"

namespace everlong::data {
namespace {

void require_equal(int64_t first, int64_t other, std::string_view what) {
  require(first == other, [&] {
    return Complaint{
        .where = "data", .expected = fmt::format("as many {} in every example of a batch: {}", what, first), .got = fmt::format("{}", other)};
  });
}

/// Numbers of all examples, one row each, padded with kNoLabel to `width`.
at::Tensor stack_targets(const std::vector<const EncodedExample*>& rows, int64_t width, bool same_width) {
  const auto count = static_cast<int64_t>(rows.size());
  at::Tensor targets = at::full({count, width}, kNoLabel, at::kLong);
  auto* out = targets.mutable_data_ptr<int64_t>();
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto have = static_cast<int64_t>(rows[i]->targets.size());
    if (same_width || have > width) require_equal(width, have, "targets");
    std::copy(rows[i]->targets.begin(), rows[i]->targets.end(), out + static_cast<int64_t>(i) * width);
  }
  return targets;
}

at::Tensor targets_of(const std::vector<const EncodedExample*>& rows, Task task, int64_t seq_len) {
  switch (task) {
    case Task::regression: {
      at::Tensor values = at::empty({static_cast<int64_t>(rows.size())}, at::kFloat);
      for (size_t i = 0; i < rows.size(); ++i) values.mutable_data_ptr<float>()[i] = static_cast<float>(rows[i]->value);
      return values;
    }
    case Task::classification:
    case Task::multiple_choice:
      return stack_targets(rows, 1, true).squeeze(1);
    case Task::multi_label:
      return stack_targets(rows, static_cast<int64_t>(rows[0]->targets.size()), true).to(at::kFloat);
    case Task::question_answering:
      return stack_targets(rows, 2, true);
    case Task::token_classification:
      break;
  }
  return stack_targets(rows, seq_len, false);
}

}  // namespace

PaddedTokens pad_rows(std::span<const std::vector<int32_t>> rows, const PaddingOptions& options) {
  require(options.multiple >= 1,
          [&] { return Complaint{.where = "data", .expected = "a multiple >= 1 to pad to", .got = fmt::format("{}", options.multiple)}; });
  size_t longest = 0;
  for (const auto& row : rows) longest = std::max(longest, row.size());
  require(longest > 0,
          [&] { return Complaint{.where = "data", .expected = "a batch with tokens", .got = fmt::format("{} empty rows", rows.size())}; });
  const int64_t seq_len = (static_cast<int64_t>(longest) + options.multiple - 1) / options.multiple * options.multiple;
  const std::vector<int64_t> shape = {static_cast<int64_t>(rows.size()), seq_len};
  PaddedTokens padded{.tokens = at::full(shape, options.pad_id, at::kLong), .attention_mask = at::zeros(shape, at::kBool)};
  for (size_t i = 0; i < rows.size(); ++i) {
    const int64_t begin = static_cast<int64_t>(i) * seq_len;
    std::copy(rows[i].begin(), rows[i].end(), padded.tokens.mutable_data_ptr<int64_t>() + begin);
    std::fill_n(padded.attention_mask.mutable_data_ptr<bool>() + begin, rows[i].size(), true);
  }
  return padded;
}

ExampleBatch collate(std::span<const EncodedExample> examples, std::span<const int64_t> numbers, Task task, const PaddingOptions& options) {
  std::vector<const EncodedExample*> chosen;
  std::vector<std::vector<int32_t>> rows;
  bool all_labelled = true;
  for (const int64_t number : numbers) {
    require(number >= 0 && std::cmp_less(number, examples.size()), [&] {
      return Complaint{.where = "data", .expected = fmt::format("numbers of {} examples", examples.size()), .got = fmt::format("{}", number)};
    });
    chosen.push_back(&examples[static_cast<size_t>(number)]);
    require_equal(static_cast<int64_t>(chosen[0]->rows.size()), static_cast<int64_t>(chosen.back()->rows.size()), "choices");
    rows.insert(rows.end(), chosen.back()->rows.begin(), chosen.back()->rows.end());
    all_labelled = all_labelled && chosen.back()->has_label;
  }
  const PaddedTokens padded = pad_rows(rows, options);
  ExampleBatch batch{.tokens = padded.tokens, .attention_mask = padded.attention_mask, .targets = std::nullopt};
  const int64_t seq_len = padded.tokens.size(1);
  if (task == Task::multiple_choice || chosen[0]->rows.size() > 1) {
    const std::vector<int64_t> shape = {static_cast<int64_t>(chosen.size()), -1, seq_len};
    batch.tokens = batch.tokens.view(shape);
    batch.attention_mask = batch.attention_mask.view(shape);
  }
  if (all_labelled) batch.targets = targets_of(chosen, task, seq_len);
  return batch;
}

}  // namespace everlong::data
