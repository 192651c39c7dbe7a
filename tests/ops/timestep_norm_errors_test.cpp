#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/ops/timestep_norm/timestep_norm.h"

namespace everlong::ops {
namespace {

template <class Call>
std::string message_of(Call&& call) {
  try {
    call();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "no error";
}

class TimestepNormErrors : public ::testing::Test {
 protected:
  const at::Tensor x = at::zeros({2, 9, 6}), w = at::zeros({6});

  [[nodiscard]] std::string of(const at::Tensor& rows, const at::Tensor& weight, const at::Tensor& bias, int64_t num_groups) const {
    return message_of([&] { (void)timestep_norm(rows, weight, bias, num_groups); });
  }
  [[nodiscard]] std::string with(const TimestepNormOptions& options) const {
    return message_of([&] { (void)timestep_norm(x, w, w, 3, options); });
  }
  [[nodiscard]] static TimestepNormState state(int64_t batch_size, int64_t num_groups) {
    const auto mean = at::zeros({batch_size, num_groups}, at::kDouble);
    return {at::zeros({batch_size}, at::kLong), mean, mean};
  }
};

TEST_F(TimestepNormErrors, ShapesAreShownFromBothSides) {
  EXPECT_EQ(of(x[0], w, w, 3), "[timestep_norm] expected x [B, T, D] with every size at least 1, got [9, 6].");
  EXPECT_EQ(of(x.narrow(1, 0, 0), w, w, 3), "[timestep_norm] expected x [B, T, D] with every size at least 1, got [2, 0, 6].");
  EXPECT_EQ(of(x, at::zeros({5}), w, 3), "[timestep_norm] expected weight [D] = [6], got [5]. Hint: x [B, T, D] is [2, 9, 6].");
  EXPECT_EQ(of(x, w, at::zeros({6, 1}), 3), "[timestep_norm] expected bias [D] = [6], got [6, 1]. Hint: x [B, T, D] is [2, 9, 6].");
  EXPECT_EQ(with({.state = state(1, 3)}), "[timestep_norm] expected state.count [B] = [2], got [1]. Hint: x [B, T, D] is [2, 9, 6].");
  EXPECT_EQ(with({.state = state(2, 2)}), "[timestep_norm] expected state.mean [B, G] = [2, 3], got [2, 2]. Hint: x [B, T, D] is [2, 9, 6].");
  EXPECT_EQ(with({.restart = at::zeros({2, 8}, at::kBool)}),
            "[timestep_norm] expected restart [B, T] = [2, 9], got [2, 8]. Hint: x [B, T, D] is [2, 9, 6].");
  EXPECT_EQ(with({.lengths = at::zeros({3}, at::kLong)}), "[timestep_norm] expected lengths [B] = [2], got [3]. Hint: x [B, T, D] is [2, 9, 6].");
  EXPECT_EQ(with({.mask = at::ones({9}, at::kBool)}), "[timestep_norm] expected mask [B, T] = [2, 9], got [9]. Hint: x [B, T, D] is [2, 9, 6].");
}

TEST_F(TimestepNormErrors, GroupsMustDivideTheFeatures) {
  EXPECT_EQ(of(x, w, w, 4), "[timestep_norm] expected num_groups that divides D = 6, got 4.");
  EXPECT_EQ(of(x, w, w, 0), "[timestep_norm] expected num_groups that divides D = 6, got 0.");
  EXPECT_EQ(of(x, w, w, -3), "[timestep_norm] expected num_groups that divides D = 6, got -3.");
}

TEST_F(TimestepNormErrors, DtypesAreShownFromBothSides) {
  EXPECT_EQ(of(x.to(at::kHalf), w, w, 3), "[timestep_norm] expected x Double, Float or BFloat16, got Half.");
  EXPECT_EQ(of(x, w.to(at::kInt), w, 3), "[timestep_norm] expected weight floating point on cpu, got Int on cpu.");
  auto single = state(2, 3);
  single.variance = single.variance.to(at::kFloat);
  EXPECT_EQ(with({.state = single}), "[timestep_norm] expected state.variance Double on cpu, got Float on cpu.");
  EXPECT_EQ(with({.restart = at::zeros({2, 9})}), "[timestep_norm] expected restart Bool on cpu, got Float on cpu.");
  EXPECT_EQ(with({.lengths = at::zeros({2}, at::kInt)}), "[timestep_norm] expected lengths Long on cpu, got Int on cpu.");
  EXPECT_EQ(with({.mask = at::ones({2, 9})}), "[timestep_norm] expected mask Bool on cpu, got Float on cpu.");
}

TEST_F(TimestepNormErrors, DevicesMustAgree) {
  EXPECT_EQ(of(x, w.to(at::kMeta), w, 3), "[timestep_norm] expected weight floating point on cpu, got Float on meta.");
}

TEST_F(TimestepNormErrors, NumbersMustBeInRange) {
  EXPECT_EQ(with({.lengths = at::tensor({int64_t{3}, int64_t{10}})}), "[timestep_norm] expected lengths between 0 and T = 9, got 3 to 10.");
  auto wrong = state(2, 3);
  wrong.count.fill_(-1);
  EXPECT_EQ(with({.state = wrong}), "[timestep_norm] expected state.count between 0 and 2^53, got -1 to -1.");
  EXPECT_EQ(with({.count_cap = -1}), "[timestep_norm] expected count_cap 0 (exact) or larger, got -1.");
  EXPECT_EQ(with({.eps = 0}), "[timestep_norm] expected eps above 0, got 0. Hint: the variance of equal features is 0.");
  EXPECT_EQ(with({.eps = NAN}), "[timestep_norm] expected eps above 0, got nan. Hint: the variance of equal features is 0.");
}

TEST_F(TimestepNormErrors, UndefinedTensorsAreNamed) {
  EXPECT_EQ(of({}, w, w, 3), "[timestep_norm] expected x, got an undefined tensor.");
  EXPECT_EQ(of(x, {}, w, 3), "[timestep_norm] expected weight, got an undefined tensor.");
  EXPECT_EQ(with({.state = TimestepNormState{}}), "[timestep_norm] expected state.count, got an undefined tensor.");
}

TEST_F(TimestepNormErrors, SequenceNormSpeaksInItsOwnName) {
  EXPECT_EQ(message_of([&] { (void)sequence_norm(x, w, w, 5); }), "[sequence_norm] expected num_groups that divides D = 6, got 5.");
  EXPECT_EQ(message_of([&] { (void)sequence_norm(x, w, w, 3, at::ones({2, 9})); }), "[sequence_norm] expected mask Bool on cpu, got Float on cpu.");
}

}  // namespace
}  // namespace everlong::ops
