#include "everlong/nn/sequence_plan.h"

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/nn/chunk_window.h"
#include "everlong/tensor/torch.h"
#include "tests/support/torch/tolerance.h"

namespace everlong::nn {
namespace {

using Numbers = std::vector<int64_t>;

State state_at(const Numbers& positions) {
  StateLayout layout;
  layout.add({.name = "any", .shape = {1}});
  State state = layout.fresh(static_cast<int64_t>(positions.size()), at::kCPU, at::kFloat);
  state.set_positions(positions);
  return state;
}

at::Tensor flags(std::vector<int64_t> values, at::IntArrayRef shape) { return at::tensor(values, at::kLong).view(shape).to(at::kBool); }

std::vector<Numbers> segments_of(const SequencePlan& plan) {
  std::vector<Numbers> all;
  for (const Segment& segment : plan.segments) all.push_back({segment.row, segment.begin, segment.len, segment.position});
  return all;
}

TEST(SequencePlan, WithoutAStateEveryRowStartsHere) {
  const auto plan = plan_sequence(2, 5, {}, std::nullopt, std::nullopt);
  EXPECT_EQ(plan.start_position, (Numbers{0, 0}));
  EXPECT_EQ(plan.end_position, (Numbers{5, 5}));
  EXPECT_EQ(segments_of(plan), (std::vector<Numbers>{{0, 0, 5, 0}, {1, 0, 5, 0}}));
  EXPECT_FALSE(plan.restart || plan.lengths);
  EXPECT_TRUE(plan.uniform());
}

TEST(SequencePlan, AStateSaysWhereEachRowStands) {
  EXPECT_TRUE(plan_sequence(2, 3, state_at({7, 7}), std::nullopt, std::nullopt).uniform());
  const auto plan = plan_sequence(2, 3, state_at({7, 2}), std::nullopt, std::nullopt);
  EXPECT_EQ(plan.end_position, (Numbers{10, 5}));
  EXPECT_FALSE(plan.uniform());
}

TEST(SequencePlan, TrailingPaddingIsNotReadAndPaddingBeforeATokenIs) {
  const auto plan = plan_sequence(3, 4, state_at({1, 1, 1}), flags({0, 1, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0}, {3, 4}), std::nullopt);
  EXPECT_EQ(plan.length, (Numbers{3, 4, 0}));
  EXPECT_EQ(plan.end_position, (Numbers{4, 5, 1}));
  ASSERT_TRUE(plan.lengths.has_value());
  EXPECT_TRUE(testing::all_equal(*plan.lengths, at::tensor({3, 4, 0}, at::kLong)));
}

TEST(SequencePlan, AChangeOfDocumentBeginsAtPositionZero) {
  const at::Tensor documents = at::tensor({4, 4, 9, 9, 4, 1, 1, 1, 1, 1}, at::kLong).view({2, 5});
  const auto plan = plan_sequence(2, 5, state_at({3, 0}), std::nullopt, documents);
  EXPECT_EQ(segments_of(plan), (std::vector<Numbers>{{0, 0, 2, 3}, {0, 2, 2, 0}, {0, 4, 1, 0}, {1, 0, 5, 0}}));
  EXPECT_EQ(plan.end_position, (Numbers{1, 5}));
  EXPECT_EQ(plan.document_starts(), (std::vector<Numbers>{{2, 4}, {}}));
  ASSERT_TRUE(plan.restart.has_value());
  EXPECT_TRUE(testing::all_equal(*plan.restart, flags({0, 0, 1, 0, 1, 0, 0, 0, 0, 0}, {2, 5})));
  EXPECT_FALSE(plan.uniform());
}

TEST(SequencePlan, DocumentsThatBeginInThePaddingDoNotCount) {
  const at::Tensor documents = at::tensor({4, 4, 9}, at::kLong).view({1, 3});
  const auto plan = plan_sequence(1, 3, {}, flags({1, 1, 0}, {1, 3}), documents);
  EXPECT_EQ(segments_of(plan), (std::vector<Numbers>{{0, 0, 2, 0}}));
  EXPECT_FALSE(plan.restart.has_value());
  EXPECT_EQ(plan.end_position, Numbers{2});
}

TEST(SequencePlan, ShapesMustAgree) {
  EXPECT_THROW(plan_sequence(2, 3, {}, flags({1, 1, 1}, {1, 3}), std::nullopt), InvalidArgument);
  EXPECT_THROW(plan_sequence(1, 3, {}, std::nullopt, at::zeros({1, 4}, at::kLong)), InvalidArgument);
}

/// Keys named by position: row b at position p has the key 100 b + p.
at::Tensor keys_from(const Numbers& begin, int64_t len) {
  at::Tensor keys = at::empty({static_cast<int64_t>(begin.size()), len, 1}, at::kDouble);
  for (size_t row = 0; row < begin.size(); ++row)
    for (int64_t t = 0; t < len; ++t) keys[static_cast<int64_t>(row)][t][0] = static_cast<double>(100 * static_cast<int64_t>(row) + begin[row] + t);
  return keys;
}

Numbers row_of(const at::Tensor& keys, int64_t row) {
  const at::Tensor flat = keys[row].reshape({-1}).to(at::kLong).contiguous();
  return {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()};
}

TEST(ChunkWindow, KeepsTheKeysOfTheUnfinishedChunk) {
  const Numbers positions = {0, 0};
  const auto plan = plan_sequence(2, 6, {}, std::nullopt, std::nullopt);
  const auto window = plan_window(plan, 4, std::nullopt, {});
  EXPECT_EQ(window.past, 0);
  EXPECT_EQ(window.row_past, (Numbers{0, 0}));
  EXPECT_EQ(window.row_keep, (Numbers{2, 2}));
  EXPECT_EQ(window.longest, 4);
  const at::Tensor slot = at::zeros({2, 4, 1}, at::kDouble), all = with_past(slot, keys_from(positions, 6), window);
  EXPECT_EQ(row_of(all, 1), (Numbers{100, 101, 102, 103, 104, 105}));
  const at::Tensor next = kept(slot, all, window, plan);
  ASSERT_EQ(next.size(1), 4);
  EXPECT_EQ(row_of(next.narrow(1, 0, 2), 0), (Numbers{4, 5}));
  EXPECT_EQ(row_of(next.narrow(1, 0, 2), 1), (Numbers{104, 105}));
}

TEST(ChunkWindow, RowsAtDifferentPlacesShareOneTensorAlignedToTheRight) {
  const Numbers positions = {6, 9};  // two and one tokens into chunks of four
  const auto state = state_at(positions);
  const auto plan = plan_sequence(2, 3, state, std::nullopt, std::nullopt);
  const auto window = plan_window(plan, 4, std::nullopt, {});
  EXPECT_EQ(window.past, 2);
  EXPECT_EQ(window.row_past, (Numbers{2, 1}));
  EXPECT_EQ(window.row_keep, (Numbers{1, 0}));  // rows end at 9 and 12
  EXPECT_FALSE(window.uniform);
  at::Tensor slot = at::zeros({2, 4, 1}, at::kDouble);
  slot.narrow(1, 0, 2).copy_(keys_from({4, 8}, 2));  // row 1 holds position 8 alone; what stands behind it is stale
  const at::Tensor all = with_past(slot, keys_from(positions, 3), window);
  EXPECT_EQ(row_of(all, 0), (Numbers{4, 5, 6, 7, 8}));
  EXPECT_EQ(row_of(all.narrow(1, 1, 4), 1), (Numbers{108, 109, 110, 111}));
  const at::Tensor next = kept(slot, all, window, plan);
  EXPECT_EQ(row_of(next, 0), (Numbers{8, 0, 0, 0}));
  EXPECT_EQ(row_of(next, 1), (Numbers{0, 0, 0, 0}));
}

TEST(ChunkWindow, WithoutChunksEverythingIsKept) {
  const auto plan = plan_sequence(1, 2, state_at({3}), std::nullopt, std::nullopt);
  const auto window = plan_window(plan, 0, std::nullopt, {});
  EXPECT_EQ(window.past, 3);
  EXPECT_EQ(window.row_keep, Numbers{5});
  const at::Tensor slot = keys_from({0}, 3), all = with_past(slot, keys_from({3}, 2), window);
  EXPECT_EQ(row_of(kept(slot, all, window, plan), 0), (Numbers{0, 1, 2, 3, 4}));
}

TEST(ChunkWindow, OneTokenIsWrittenIntoTheStateItself) {
  const at::NoGradGuard no_grad;
  const auto plan = plan_sequence(1, 1, state_at({6}), std::nullopt, std::nullopt);
  const auto window = plan_window(plan, 4, std::nullopt, {});
  at::Tensor slot = at::zeros({1, 4, 1}, at::kDouble);
  slot.narrow(1, 0, 2).copy_(keys_from({4}, 2));
  const at::Tensor all = with_past(slot, keys_from({6}, 1), window);
  EXPECT_TRUE(all.is_alias_of(slot));
  EXPECT_EQ(row_of(all, 0), (Numbers{4, 5, 6}));
  EXPECT_TRUE(kept(slot, all, window, plan).is_same(slot));
}

TEST(ChunkWindow, PaddingIsMaskedAndItsFlagsAreKept) {
  StateLayout layout;
  const Slot slot = layout.add({.name = "valid", .shape = {4}, .kind = SlotKind::flag});
  const auto valid = std::optional<at::Tensor>(flags({0, 1, 1, 1, 1, 1}, {2, 3}));
  const auto plan = plan_sequence(2, 3, {}, valid, std::nullopt);
  const auto window = plan_window(plan, 4, valid, {});
  ASSERT_TRUE(window.valid.has_value());
  EXPECT_TRUE(testing::all_equal(*window.valid, *valid));
  const auto update = kept_flags(slot, at::zeros({2, 4}, at::kBool), valid, window, plan, at::kCPU);
  EXPECT_TRUE(testing::all_equal(update.value, flags({0, 1, 1, 0, 1, 1, 1, 0}, {2, 4})));
  const auto later = plan_sequence(2, 1, state_at({3, 3}), std::nullopt, std::nullopt);
  const auto seen = plan_window(later, 4, std::nullopt, update.value);
  ASSERT_TRUE(seen.valid.has_value());
  EXPECT_TRUE(testing::all_equal(*seen.valid, flags({0, 1, 1, 1, 1, 1, 1, 1}, {2, 4})));
}

}  // namespace
}  // namespace everlong::nn
