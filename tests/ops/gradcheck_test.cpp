#include "tests/support/torch/gradcheck.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/custom_function.h>

namespace everlong::testing {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// x^2 whose backward forgets one entry, by a factor close to 1.
struct SlightlyWrongSquare : torch::autograd::Function<SlightlyWrongSquare> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x) {
    context->save_for_backward({x});
    return x * x;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    at::Tensor gradient = 2 * gradients[0] * context->get_saved_variables()[0];
    gradient.view(-1)[3] *= 1.0001;
    return {gradient};
  }
};

at::Tensor random(at::IntArrayRef sizes, at::ScalarType dtype = at::kDouble) {
  at::manual_seed(3);
  return at::randn(sizes, dtype);
}

TEST(Gradcheck, AcceptsARightBackward) {
  EXPECT_TRUE(gradcheck(
      [](const auto& in) {
        return std::vector{in[0].matmul(in[1]).tanh(), in[0].sum(0)};
      },
      {{"a", random({3, 4})}, {"b", random({4, 5})}}));
}

TEST(Gradcheck, NamesTheEntryThatAWrongBackwardMissed) {
  const auto result = gradcheck([](const auto& in) { return std::vector<at::Tensor>{SlightlyWrongSquare::apply(in[0])}; }, {{"x", random({2, 5})}});
  ASSERT_FALSE(result);
  EXPECT_NE(std::string(result.message()).find("gradient of x at entry 3"), std::string::npos) << result.message();
}

TEST(Gradcheck, SeesAGradientThatWasCutOff) {
  const auto result = gradcheck([](const auto& in) { return std::vector{in[0] * in[1].detach()}; }, {{"x", random({4})}, {"state", random({4})}});
  ASSERT_FALSE(result);
  EXPECT_NE(std::string(result.message()).find("gradient of state"), std::string::npos) << result.message();
  EXPECT_NE(std::string(result.message()).find("autograd returned none"), std::string::npos) << result.message();
}

TEST(Gradcheck, VariesComplexInputsInBothParts) {
  EXPECT_TRUE(
      gradcheck([](const auto& in) { return std::vector{at::real(in[0] * in[0] * at::conj(in[0]))}; }, {{"z", random({5}, at::kComplexDouble)}}));
  EXPECT_FALSE(
      gradcheck([](const auto& in) { return std::vector{at::abs(in[0].detach()) + at::real(in[0])}; }, {{"z", random({5}, at::kComplexDouble)}}));
}

TEST(Gradcheck, RefusesSinglePrecision) {
  EXPECT_THROW((void)gradcheck([](const auto& in) { return std::vector{in[0] * 2}; }, {{"x", random({2}, at::kFloat)}}), std::invalid_argument);
}

}  // namespace
}  // namespace everlong::testing
