#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/ops/complex_ema/complex_ema.h"

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

class ComplexEmaErrors : public ::testing::Test {
 protected:
  const at::Tensor x = at::zeros({2, 9, 6}), q = at::zeros({6, 4, 2}), c = at::zeros({6, 4, 2}), omega = at::zeros({6});

  [[nodiscard]] static std::string of(const at::Tensor& x, const at::Tensor& q, const at::Tensor& c, const at::Tensor& omega,
                                      const ComplexEmaOptions& options = {}) {
    return message_of([&] { (void)complex_ema(x, q, c, omega, options); });
  }
  [[nodiscard]] std::string with(const ComplexEmaOptions& options) const { return of(x, q, c, omega, options); }
};

TEST_F(ComplexEmaErrors, ShapesAreShownFromBothSides) {
  EXPECT_EQ(of(x, q, at::zeros({6, 3, 2}), omega), "[complex_ema] expected c [D, N, 2] = [6, 4, 2], got Float [6, 3, 2] on cpu.");
  EXPECT_EQ(of(x, at::zeros({5, 4, 2}), c, omega), "[complex_ema] expected q [D, N, 2] = [6, 4, 2], got Float [5, 4, 2] on cpu.");
  EXPECT_EQ(of(x, at::zeros({6, 4}), c, omega), "[complex_ema] expected q [D, N, 2] = [6, N, 2] with N at least 1, got Float [6, 4] on cpu.");
  EXPECT_EQ(of(x, at::zeros({6, 0, 2}), c, omega), "[complex_ema] expected q [D, N, 2] = [6, N, 2] with N at least 1, got Float [6, 0, 2] on cpu.");
  EXPECT_EQ(of(x, at::zeros({6, 4, 3}), c, omega), "[complex_ema] expected q [D, N, 2] = [6, 4, 2], got Float [6, 4, 3] on cpu.");
  EXPECT_EQ(of(x, q, c, at::zeros({6, 1})), "[complex_ema] expected omega [D] = [6], got Float [6, 1] on cpu.");
  EXPECT_EQ(of(x[0], q, c, omega), "[complex_ema] expected x [B, T, D] with every size at least 1, got Float [9, 6] on cpu.");
  EXPECT_EQ(of(x.narrow(1, 0, 0), q, c, omega), "[complex_ema] expected x [B, T, D] with every size at least 1, got Float [2, 0, 6] on cpu.");
  EXPECT_EQ(with({.state = at::zeros({2, 6, 4})}), "[complex_ema] expected state [B, D, N, 2] = [2, 6, 4, 2], got Float [2, 6, 4] on cpu.");
  EXPECT_EQ(with({.restart = at::zeros({2, 8}, at::kBool)}), "[complex_ema] expected restart [B, T] = [2, 9], got Bool [2, 8] on cpu.");
  EXPECT_EQ(with({.lengths = at::zeros({3}, at::kLong)}), "[complex_ema] expected lengths [B] = [2], got Long [3] on cpu.");
}

TEST_F(ComplexEmaErrors, DtypesAndDevicesAreShownFromBothSides) {
  const std::string hint = " Hint: parameters and states stay Float with x in BFloat16, and are Double with x in Double.";
  EXPECT_EQ(of(x.to(at::kHalf), q, c, omega),
            "[complex_ema] expected x Double, Float or BFloat16, got Half. Hint: recurrent states overflow in Half; use BFloat16.");
  EXPECT_EQ(of(x.to(at::kBFloat16), q.to(at::kBFloat16), c, omega), "[complex_ema] expected q Float on cpu, got BFloat16 on cpu." + hint);
  EXPECT_EQ(of(x.to(at::kDouble), q, c, omega), "[complex_ema] expected q Double on cpu, got Float on cpu." + hint);
  EXPECT_EQ(of(x, q, c, omega.to(at::kBFloat16)), "[complex_ema] expected omega Float on cpu, got BFloat16 on cpu." + hint);
  EXPECT_EQ(of(x, q.to(at::kMeta), c, omega), "[complex_ema] expected q Float on cpu, got Float on meta." + hint);
  EXPECT_EQ(with({.state = at::zeros({2, 6, 4, 2}, at::kBFloat16)}), "[complex_ema] expected state Float on cpu, got BFloat16 on cpu." + hint);
  EXPECT_EQ(with({.restart = at::zeros({2, 9})}), "[complex_ema] expected restart Bool on cpu, got Float on cpu.");
  EXPECT_EQ(with({.lengths = at::zeros({2}, at::kInt)}), "[complex_ema] expected lengths Long on cpu, got Int on cpu.");
}

TEST_F(ComplexEmaErrors, LengthsMustFit) {
  EXPECT_EQ(with({.lengths = at::tensor({int64_t{3}, int64_t{10}})}), "[complex_ema] expected lengths between 0 and T = 9, got 3 to 10.");
  EXPECT_EQ(with({.lengths = at::tensor({int64_t{-1}, int64_t{9}})}), "[complex_ema] expected lengths between 0 and T = 9, got -1 to 9.");
}

TEST_F(ComplexEmaErrors, UndefinedTensorsAreNamed) {
  EXPECT_EQ(of(at::Tensor(), q, c, omega), "[complex_ema] expected x [B, T, D] with every size at least 1, got no tensor.");
  EXPECT_EQ(of(x, at::Tensor(), c, omega), "[complex_ema] expected q [D, N, 2] = [6, N, 2] with N at least 1, got no tensor.");
  EXPECT_EQ(of(x, q, at::Tensor(), omega), "[complex_ema] expected c [D, N, 2] = [6, 4, 2], got no tensor.");
  EXPECT_EQ(of(x, q, c, at::Tensor()), "[complex_ema] expected omega [D] = [6], got no tensor.");
  EXPECT_EQ(with({.state = at::Tensor()}), "[complex_ema] expected state [B, D, N, 2] = [2, 6, 4, 2], got no tensor.");
}

TEST_F(ComplexEmaErrors, ParametersMustAgree) {
  const auto alpha = at::zeros({6, 4, 1}), theta = at::zeros({6, 1, 1}), gamma = at::zeros({6, 4, 2});
  const auto message = [](const at::Tensor& a, const at::Tensor& d, const at::Tensor& t, const at::Tensor& g) {
    return message_of([&] { (void)complex_ema_coefficients(a, d, t, g); });
  };
  EXPECT_EQ(message(alpha, at::zeros({6, 4}), theta, gamma), "[complex_ema] expected delta [D, N, 1] = [6, 4, 1], got Float [6, 4] on cpu.");
  EXPECT_EQ(message(alpha, alpha, at::zeros({6, 4, 1}), gamma), "[complex_ema] expected theta [D, 1, 1] = [6, 1, 1], got Float [6, 4, 1] on cpu.");
  EXPECT_EQ(message(alpha, alpha, theta, alpha), "[complex_ema] expected gamma [D, N, 2] = [6, 4, 2], got Float [6, 4, 1] on cpu.");
  EXPECT_EQ(message(alpha, alpha, theta, gamma.to(at::kDouble)),
            "[complex_ema] expected gamma like alpha, Float [6, 4, 1] on cpu, got Double [6, 4, 2] on cpu.");
  EXPECT_EQ(message(gamma, alpha, theta, gamma),
            "[complex_ema] expected alpha [D, N, 1], floating point, every size at least 1, got Float [6, 4, 2] on cpu.");
  EXPECT_EQ(message(alpha, {}, theta, gamma), "[complex_ema] expected delta [D, N, 1] = [6, 4, 1], got no tensor.");
}

}  // namespace
}  // namespace everlong::ops
