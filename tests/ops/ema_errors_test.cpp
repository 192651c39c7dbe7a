#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/ops/ema/damped_ema.h"
#include "everlong/ops/ema/ema.h"
#include "tests/support/message.h"

namespace everlong::ops {
namespace {

using testing::message_of;

class EmaErrors : public ::testing::Test {
 protected:
  const at::Tensor x = at::zeros({2, 9, 6}), q = at::zeros({6, 4}), c = at::zeros({6, 4});

  [[nodiscard]] std::string with(const EmaOptions& options) const {
    return message_of<InvalidArgument>([&] { (void)ema(x, q, c, options); });
  }
};

TEST_F(EmaErrors, ShapesAreShownFromBothSides) {
  EXPECT_EQ(message_of<InvalidArgument>([&] {
              (void)ema(x, q, at::zeros({6, 3}));
            }),
            "[ema] expected c [D, N] = [6, 4], got [6, 3]. Hint: x [B, T, D] is [2, 9, 6].");
  EXPECT_EQ(message_of<InvalidArgument>([&] {
              (void)ema(x, at::zeros({5, 4}), c);
            }),
            "[ema] expected q [D, N] = [6, 4], got [5, 4]. Hint: x [B, T, D] is [2, 9, 6].");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)ema(x, at::zeros({24}), c); }), "[ema] expected q [D, N] = [6, N] with N at least 1, got [24].");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)ema(x[0], q, c); }), "[ema] expected x [B, T, D] with every size at least 1, got [9, 6].");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)ema(x.narrow(1, 0, 0), q, c); }),
            "[ema] expected x [B, T, D] with every size at least 1, got [2, 0, 6].");
  EXPECT_EQ(with({.state = at::zeros({1, 6, 4})}), "[ema] expected state [B, D, N] = [2, 6, 4], got [1, 6, 4]. Hint: x [B, T, D] is [2, 9, 6].");
  EXPECT_EQ(with({.restart = at::zeros({2, 8}, at::kBool)}), "[ema] expected restart [B, T] = [2, 9], got [2, 8]. Hint: x [B, T, D] is [2, 9, 6].");
  EXPECT_EQ(with({.lengths = at::zeros({3}, at::kLong)}), "[ema] expected lengths [B] = [2], got [3]. Hint: x [B, T, D] is [2, 9, 6].");
}

TEST_F(EmaErrors, DtypesAreShownFromBothSides) {
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)ema(x.to(at::kHalf), q, c); }),
            "[ema] expected x Double, Float or BFloat16, got Half. Hint: recurrent states overflow in Half; use BFloat16.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)ema(x.to(at::kBFloat16), q.to(at::kBFloat16), c); }),
            "[ema] expected q Float on cpu, got BFloat16 on cpu. Hint: parameters and states stay Float with x in BFloat16, and are Double with x in "
            "Double.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)ema(x.to(at::kDouble), q, c); }),
            "[ema] expected q Double on cpu, got Float on cpu. Hint: parameters and states stay Float with x in BFloat16, and are Double with x in "
            "Double.");
  EXPECT_EQ(with({.state = at::zeros({2, 6, 4}, at::kBFloat16)}).substr(0, 56), "[ema] expected state Float on cpu, got BFloat16 on cpu. ");
  EXPECT_EQ(with({.restart = at::zeros({2, 9})}), "[ema] expected restart Bool on cpu, got Float on cpu.");
  EXPECT_EQ(with({.lengths = at::zeros({2}, at::kInt)}), "[ema] expected lengths Long on cpu, got Int on cpu.");
}

TEST_F(EmaErrors, DevicesMustAgree) {
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)ema(x, q.to(at::kMeta), c); }).substr(0, 50),
            "[ema] expected q Float on cpu, got Float on meta. ");
}

TEST_F(EmaErrors, LengthsMustFit) {
  EXPECT_EQ(with({.lengths = at::tensor({int64_t{3}, int64_t{10}})}), "[ema] expected lengths between 0 and T = 9, got 3 to 10.");
  EXPECT_EQ(with({.lengths = at::tensor({int64_t{-1}, int64_t{9}})}), "[ema] expected lengths between 0 and T = 9, got -1 to 9.");
}

TEST_F(EmaErrors, UndefinedTensorsAreNamed) {
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)ema(at::Tensor(), q, c); }), "[ema] expected x, got an undefined tensor.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)ema(x, at::Tensor(), c); }), "[ema] expected q, got an undefined tensor.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)ema(x, q, at::Tensor()); }), "[ema] expected c, got an undefined tensor.");
  EXPECT_EQ(with({.state = at::Tensor()}), "[ema] expected state, got an undefined tensor.");
}

TEST(DampedEmaErrors, ParametersMustAgree) {
  const auto p = at::zeros({6, 4});
  EXPECT_EQ(message_of<InvalidArgument>([&] {
              (void)damped_ema_coefficients({p, p, at::zeros({6, 4, 1}), p});
            }),
            "[damped_ema] expected expansion like damping, [6, 4] Float, got [6, 4, 1] Float.");
  EXPECT_EQ(message_of<InvalidArgument>([&] {
              (void)damped_ema_coefficients({p, p.to(at::kDouble), p, p});
            }),
            "[damped_ema] expected decay like damping, [6, 4] Float, got [6, 4] Double.");
  EXPECT_EQ(message_of<InvalidArgument>([&] {
              (void)damped_ema_coefficients({p, p, p, {}});
            }),
            "[damped_ema] expected projection like damping, [6, 4] Float, got an undefined tensor.");
  EXPECT_EQ(message_of<InvalidArgument>([&] {
              (void)damped_ema_coefficients({p[0], p, p, p});
            }),
            "[damped_ema] expected damping [D, N], floating point, every size at least 1, got [4] Float.");
}

}  // namespace
}  // namespace everlong::ops
