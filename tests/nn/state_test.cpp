#include "everlong/nn/state.h"

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/tensor/torch.h"
#include "tests/support/message.h"
#include "tests/support/torch/tolerance.h"

namespace everlong::nn {
namespace {

using testing::message_of;

struct Layout {
  StateLayout layout;
  Slot filter, keys, flags;

  explicit Layout(bool grows = false) {
    filter = layout.add({.name = "filter", .shape = {2, 3}});
    keys = layout.add({.name = "keys", .shape = {grows ? 0 : 4, 5}, .kind = SlotKind::cache, .grows = grows});
    flags = layout.add({.name = "flags", .shape = {4}, .kind = SlotKind::flag});
    layout.set_owner("abc");
  }

  /// A state whose every number names its row and place.
  [[nodiscard]] State counted(int64_t rows) const {
    State state = layout.fresh(rows, at::kCPU, at::kFloat);
    state[filter].copy_(at::arange(rows * 6).view({rows, 2, 3}));
    state[keys].copy_(at::arange(rows * 20).view({rows, 4, 5}));
    state[flags].fill_(true);
    std::vector<int64_t> positions;
    for (int64_t row = 0; row < rows; ++row) positions.push_back(10 + row);
    state.set_positions(positions);
    return state;
  }
};

TEST(State, AFreshOneIsZerosAtPositionZeroInTheRightDtypes) {
  const Layout made;
  for (const auto& [compute, cache, recurrent] :
       {std::tuple{at::kFloat, at::kFloat, at::kFloat}, {at::kBFloat16, at::kBFloat16, at::kFloat}, {at::kDouble, at::kDouble, at::kDouble}}) {
    const State state = made.layout.fresh(2, at::kCPU, compute);
    EXPECT_EQ(state[made.filter].scalar_type(), recurrent);
    EXPECT_EQ(state[made.keys].scalar_type(), cache);
    EXPECT_EQ(state[made.flags].scalar_type(), at::kBool);
    EXPECT_EQ(state[made.keys].sizes(), (at::IntArrayRef{2, 4, 5}));
    EXPECT_EQ(state.positions(), (std::vector<int64_t>{0, 0}));
    for (const at::Tensor& tensor : state.tensors()) EXPECT_FALSE(tensor.any().item<bool>());
    EXPECT_EQ(state.bytes(), 2 * made.layout.bytes_per_row(0, compute));
  }
}

TEST(State, BytesARowAreTheClosedForm) {
  EXPECT_EQ(Layout().layout.bytes_per_row(1000, at::kFloat), 8 + 6 * 4 + 20 * 4 + 4);
  EXPECT_EQ(Layout().layout.bytes_per_row(1000, at::kBFloat16), 8 + 6 * 4 + 20 * 2 + 4);
  EXPECT_EQ(Layout(true).layout.bytes_per_row(1000, at::kBFloat16), 8 + 6 * 4 + 1000 * 5 * 2 + 4);
  EXPECT_TRUE(Layout().layout.bounded());
  EXPECT_FALSE(Layout(true).layout.bounded());
}

TEST(State, ACloneSharesNothing) {
  const Layout made;
  State original = made.counted(2);
  const State copy = original.clone();
  original[made.filter].fill_(-1);
  original.set_positions({0, 0});
  EXPECT_EQ(copy[made.filter][1][1][2].item<float>(), 11);
  EXPECT_EQ(copy.positions(), (std::vector<int64_t>{10, 11}));
  EXPECT_NO_THROW(made.layout.check(copy));
}

TEST(State, RowsAreChosenAndRepeated) {
  const Layout made;
  const State chosen = made.counted(3).select(at::tensor({2, 0, 2}, at::kLong));
  EXPECT_EQ(chosen.positions(), (std::vector<int64_t>{12, 10, 12}));
  EXPECT_EQ(chosen[made.filter][0][0][0].item<float>(), 12);
  EXPECT_EQ(chosen[made.filter][1][0][0].item<float>(), 0);
  EXPECT_TRUE(testing::all_equal(chosen[made.keys][0], chosen[made.keys][2]));
  EXPECT_EQ(chosen.batch_size(), 3);
}

TEST(State, RestartedRowsAreFreshAndTheOthersUntouched) {
  const Layout made;
  State state = made.counted(3);
  state.restart_(at::tensor({0, 1, 0}, at::kLong).to(at::kBool));
  EXPECT_EQ(state.positions(), (std::vector<int64_t>{10, 0, 12}));
  for (const at::Tensor& tensor : state.tensors()) EXPECT_FALSE(tensor[1].any().item<bool>());
  const State before = made.counted(3);
  for (const int64_t row : {0, 2})
    for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(testing::all_equal(state.tensors()[i][row], before.tensors()[i][row]));
}

TEST(State, DetachingCutsTheGraph) {
  const Layout made;
  State state = made.counted(1);
  const at::Tensor source = at::ones({1, 2, 3}).requires_grad_(true);
  state[made.filter] = source * 2;
  EXPECT_TRUE(state[made.filter].requires_grad());
  state.detach_();
  EXPECT_FALSE(state[made.filter].requires_grad());
}

TEST(StateLayout, RefusesATakenNameAndANegativeSize) {
  StateLayout layout;
  layout.add({.name = "a", .shape = {1}});
  EXPECT_THROW(layout.add({.name = "a", .shape = {2}}), InvalidArgument);
  EXPECT_THROW(layout.add({.name = "b", .shape = {-1}}), InvalidArgument);
}

TEST(StateLayout, RefusesTheStateOfAnotherOwnerNamingBoth) {
  const Layout made;
  Layout other;
  other.layout.set_owner("xyz");
  const std::string message = message_of<Error>([&] { other.layout.check(made.counted(1)); });
  EXPECT_NE(message.find("abc"), std::string::npos) << message;
  EXPECT_NE(message.find("xyz"), std::string::npos) << message;
}

TEST(StateLayout, RefusesTensorsOfAnotherShapeOrDtypeNamingTheSlot) {
  const Layout made;
  const auto assemble = [&](at::Tensor keys, at::Tensor flags) {
    return message_of<Error>([&] { static_cast<void>(made.layout.assemble({at::zeros({2, 2, 3}), keys, flags}, at::zeros({2}, at::kLong))); });
  };
  const at::Tensor keys = at::zeros({2, 4, 5}), flags = at::zeros({2, 4}, at::kBool);
  EXPECT_EQ(assemble(keys, flags), "nothing was thrown");
  EXPECT_NE(assemble(at::zeros({2, 3, 5}), flags).find("keys"), std::string::npos);
  EXPECT_NE(assemble(at::zeros({1, 4, 5}), flags).find("keys"), std::string::npos);
  EXPECT_NE(assemble(at::zeros({}), flags).find("keys"), std::string::npos);
  EXPECT_NE(assemble(keys.to(at::kLong), flags).find("keys"), std::string::npos);
  EXPECT_NE(assemble(keys, at::zeros({2, 4})).find("flags"), std::string::npos);
  EXPECT_NE(message_of<Error>([&] { static_cast<void>(made.layout.assemble({keys}, at::zeros({2}, at::kLong))); }).find("3 slots"),
            std::string::npos);
}

TEST(StateLayout, AGrowingSlotMustHoldWhatWasRead) {
  const Layout made(true);
  const auto assemble = [&](int64_t len) {
    return made.layout.assemble({at::zeros({1, 2, 3}), at::zeros({1, len, 5}), at::zeros({1, 4}, at::kBool)}, at::full({1}, 7, at::kLong));
  };
  EXPECT_NO_THROW(made.layout.check_positions(assemble(7)));
  EXPECT_THROW(made.layout.check_positions(assemble(6)), StateError);
}

TEST(StateLayout, ACallThatForgetsASlotIsAnError) {
  const Layout made;
  std::vector<SlotUpdate> updates{{.slot = made.filter, .value = at::zeros({1, 2, 3})}, {.slot = made.flags, .value = at::zeros({1, 4}, at::kBool)}};
  EXPECT_NE(message_of<Error>([&] { static_cast<void>(made.layout.next(updates, {1})); }).find("keys"), std::string::npos);
  updates.push_back({.slot = made.keys, .value = at::zeros({1, 4, 5})});
  EXPECT_EQ(made.layout.next(updates, {1}).positions(), std::vector<int64_t>{1});
}

}  // namespace
}  // namespace everlong::nn
