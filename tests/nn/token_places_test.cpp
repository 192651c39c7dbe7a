#include "everlong/nn/token_places.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "everlong/tensor/torch.h"

namespace everlong::nn {
namespace {

using Rows = std::vector<std::string>;

State state_at(const std::vector<int64_t>& positions) {
  StateLayout layout;
  layout.add({.name = "any", .shape = {1}});
  State state = layout.fresh(static_cast<int64_t>(positions.size()), at::kCPU, at::kFloat);
  state.set_positions(positions);
  return state;
}

/// "x..|xx.": a line for each token of a row, an x for each key that it sees.
Rows drawn(const std::optional<at::Tensor>& mask) {
  if (!mask) return {};
  EXPECT_EQ(mask->dim(), 4);
  EXPECT_EQ(mask->size(1), 1);
  Rows rows;
  for (int64_t row = 0; row < mask->size(0); ++row) {
    std::string lines;
    for (int64_t t = 0; t < mask->size(2); ++t) {
      if (t > 0) lines += '|';
      for (int64_t key = 0; key < mask->size(3); ++key) lines += (*mask)[row][0][t][key].item<bool>() ? 'x' : '.';
    }
    rows.push_back(lines);
  }
  return rows;
}

at::Tensor flags(const std::vector<int64_t>& values, at::IntArrayRef shape) { return at::tensor(values, at::kLong).view(shape).to(at::kBool); }

Rows visible(const SequencePlan& plan, const std::optional<at::Tensor>& valid = std::nullopt, const at::Tensor& past_valid = {}) {
  return drawn(visible_keys(plan, plan_window(plan, 0, valid, past_valid), at::kCPU));
}

TEST(TokenPositions, OneRowStandsForAllThatAgree) {
  EXPECT_TRUE(at::equal(token_positions(plan_sequence(3, 4, state_at({5, 5, 5}), std::nullopt, std::nullopt)),
                        at::tensor({5, 6, 7, 8}, at::kLong).view({1, 4})));
  EXPECT_TRUE(at::equal(token_positions(plan_sequence(2, 2, {}, std::nullopt, std::nullopt)), at::tensor({0, 1}, at::kLong).view({1, 2})));
}

TEST(TokenPositions, RowsAndDocumentsAreCountedEachFromItsOwnBegin) {
  const at::Tensor documents = at::tensor({1, 1, 2, 2, 3, 3, 3, 3}, at::kLong).view({2, 4});
  const auto plan = plan_sequence(2, 4, state_at({6, 2}), flags({1, 1, 1, 1, 1, 1, 1, 0}, {2, 4}), documents);
  EXPECT_TRUE(at::equal(token_positions(plan), at::tensor({6, 7, 0, 1, 2, 3, 4, 0}, at::kLong).view({2, 4})));
}

TEST(VisibleKeys, NoneAreNamedWherePlainCausalityOrAllIsMeant) {
  EXPECT_EQ(visible(plan_sequence(2, 3, {}, std::nullopt, std::nullopt)), Rows());
  EXPECT_EQ(visible(plan_sequence(2, 1, state_at({3, 3}), std::nullopt, std::nullopt)), Rows());
}

TEST(VisibleKeys, ThePastStandsBeforeTheCall) {
  EXPECT_EQ(visible(plan_sequence(1, 2, state_at({2}), std::nullopt, std::nullopt)), (Rows{"xxx.|xxxx"}));
  EXPECT_EQ(visible(plan_sequence(2, 2, state_at({2, 1}), std::nullopt, std::nullopt)), (Rows{"xxx.|xxxx", ".xx.|.xxx"}));
}

TEST(VisibleKeys, DocumentsNeverSeeEachOther) {
  const at::Tensor documents = at::tensor({1, 1, 2}, at::kLong).view({1, 3});
  EXPECT_EQ(visible(plan_sequence(1, 3, {}, std::nullopt, documents)), (Rows{"x..|xx.|..x"}));
}

TEST(VisibleKeys, PaddingIsSeenByNoneButATokenThatSeesNothingElse) {
  const at::Tensor left = flags({0, 1, 1}, {1, 3}), inside = flags({1, 0, 1}, {1, 3});
  EXPECT_EQ(visible(plan_sequence(1, 3, {}, left, std::nullopt), left), (Rows{"x..|.x.|.xx"}));
  EXPECT_EQ(visible(plan_sequence(1, 3, {}, inside, std::nullopt), inside), (Rows{"x..|x..|x.x"}));
  EXPECT_EQ(visible(plan_sequence(1, 1, state_at({2}), std::nullopt, std::nullopt), std::nullopt, flags({0, 1}, {1, 2})), (Rows{".xx"}));
}

}  // namespace
}  // namespace everlong::nn
