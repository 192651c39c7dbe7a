#include "everlong/models/state_diff.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/checkpoint/tensor_file.h"
#include "everlong/models/state_file.h"
#include "everlong/tensor/torch.h"
#include "tests/support/files.h"
#include "tests/support/torch/models.h"

namespace everlong::models {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

class StateDiff : public ::testing::Test {
 protected:
  using Tensors = checkpoint::TensorMap;

  std::filesystem::path write(std::string_view name, Tensors tensors, const std::string& config = "hidden_size=24\nvocab_size=37\n") {
    checkpoint::save_tensors(folder_ / name, tensors, {{"schema", "everlong-state-1"}, {"config", config}, {"tokenizer_fingerprint", "bytes"}});
    return folder_ / name;
  }
  static Tensors state() { return {{"h", at::tensor({1.0F, 2.0F, 3.0F})}, {"kv", at::zeros({2, 0})}, {"position", at::tensor({5, 6}, at::kLong)}}; }
  static Tensors with(const std::string& name, const at::Tensor& tensor) {
    Tensors changed = state();
    changed[name] = tensor;
    return changed;
  }
  StateDifference against_state(Tensors other) { return compare_states(write("a", state()), write("b", std::move(other))); }
  static const SlotDifference& slot(const StateDifference& difference, const std::string& name) {
    const auto found = std::find_if(difference.slots.begin(), difference.slots.end(), [&](const SlotDifference& one) { return one.name == name; });
    EXPECT_NE(found, difference.slots.end());
    return *found;
  }

  testing::TemporaryFolder folder_;
};

TEST_F(StateDiff, EqualStatesAreTheSameAtNoTolerance) {
  const StateDifference difference = against_state(state());
  EXPECT_TRUE(difference.same(0));
  EXPECT_EQ(difference.max_abs(), 0);
  ASSERT_EQ(difference.slots.size(), 2u);  // the position is no slot
  EXPECT_EQ(slot(difference, "h").left, "Float [3]");
  EXPECT_EQ(difference.left_positions, (std::vector<int64_t>{5, 6}));
}

TEST_F(StateDiff, TheLargestDifferenceOfASlotIsFoundAndHeldAgainstTheTolerance) {
  const StateDifference difference = against_state(with("h", at::tensor({1.0F, 1.5F, 3.25F})));
  EXPECT_EQ(difference.max_abs(), 0.5);
  EXPECT_TRUE(difference.same(0.5));
  EXPECT_FALSE(difference.same(0.49));
}

TEST_F(StateDiff, NanAndInfinityAgreeWithThemselvesOnly) {
  const float nan = std::nanf(""), infinity = std::numeric_limits<float>::infinity();
  const at::Tensor odd = at::tensor({nan, infinity, -infinity});
  EXPECT_EQ(compare_states(write("a", with("h", odd)), write("b", with("h", odd))).max_abs(), 0);
  EXPECT_EQ(compare_states(write("a", with("h", odd)), write("b", with("h", -odd))).max_abs(), kInfinity);
  for (const float value : {nan, infinity}) {
    const StateDifference difference = against_state(with("h", at::tensor({1.0F, 2.0F, value})));
    EXPECT_EQ(difference.max_abs(), kInfinity);
    EXPECT_FALSE(difference.same(1e300));
  }
}

TEST_F(StateDiff, SlotsOfOneSideAndOfAnotherShapeOrDtypeDifferByInfinity) {
  const StateDifference more = against_state(with("extra", at::zeros({1})));
  EXPECT_EQ(slot(more, "extra").left, "none");
  EXPECT_EQ(slot(more, "extra").right, "Float [1]");
  EXPECT_EQ(more.max_abs(), kInfinity);
  EXPECT_EQ(slot(against_state(with("h", at::tensor({1.0F, 2.0F, 3.0F}).view({1, 3}))), "h").max_abs, kInfinity);
  EXPECT_EQ(slot(against_state(with("h", at::tensor({1.0F, 2.0F, 3.0F}).to(at::kDouble))), "h").max_abs, kInfinity);
}

TEST_F(StateDiff, OtherPositionsAreNeverTheSame) {
  const StateDifference difference = against_state(with("position", at::tensor({5, 7}, at::kLong)));
  EXPECT_EQ(difference.max_abs(), 0);
  EXPECT_FALSE(difference.same(kInfinity));
  EXPECT_EQ(difference.right_positions, (std::vector<int64_t>{5, 7}));
}

TEST_F(StateDiff, MetadataThatDiffersIsNamedWithItsConfigurationTakenApart) {
  const auto difference = compare_states(write("a", state()), write("b", state(), "hidden_size=32\nvocab_size=37\nmore=yes"));
  EXPECT_FALSE(difference.same(kInfinity));
  ASSERT_EQ(difference.metadata.size(), 2u);
  EXPECT_EQ(difference.metadata[0].key, "config hidden_size");
  EXPECT_EQ(difference.metadata[0].left, "24");
  EXPECT_EQ(difference.metadata[0].right, "32");
  EXPECT_EQ(difference.metadata[1].key, "config more");
  EXPECT_EQ(difference.metadata[1].left, "none");
}

TEST_F(StateDiff, FilesThatAreNoStatesAreRefused) {
  const auto good = write("a", state());
  checkpoint::save_tensors(folder_ / "weights", state(), {{"format", "pt"}});
  for (const auto& [left, right] : {std::pair{good, folder_ / "weights"}, {folder_ / "weights", good}})
    EXPECT_THROW(static_cast<void>(compare_states(left, right)), StateError);
  Tensors placeless = state();
  placeless.erase("position");
  EXPECT_THROW(static_cast<void>(compare_states(good, write("b", placeless))), FormatError);
  EXPECT_THROW(static_cast<void>(compare_states(good, write("b", with("position", at::zeros({2}))))), FormatError);
  EXPECT_THROW(static_cast<void>(compare_states(good, write("b", with("position", at::zeros({1, 2}, at::kLong))))), FormatError);
  EXPECT_THROW(static_cast<void>(compare_states(good, folder_ / "nothing")), IoError);
}

TEST_F(StateDiff, StatesOfAModelThatReadDifferentTextsDiffer) {
  const auto config = find_architecture("mega").tiny_config();
  const auto model = testing::tiny_model(*config, at::kFloat);
  const at::NoGradGuard no_grad;
  const auto save = [&](const char* name, uint64_t seed) {
    const auto state = model->forward({.tokens = testing::random_tokens(*model, 1, 9, seed)}, model->model().initial_state(1)).state;
    save_state(folder_ / name, state, model->model().state_layout(), *config, "bytes");
  };
  save("a", 1), save("b", 1), save("c", 2);
  EXPECT_TRUE(compare_states(folder_ / "a", folder_ / "b").same(0));
  EXPECT_FALSE(compare_states(folder_ / "a", folder_ / "c").same(1e-6));
}

}  // namespace
}  // namespace everlong::models
