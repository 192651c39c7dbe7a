#include <complex>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "everlong/ops/complex_ema/complex_ema.h"
#include "tests/support/torch/gradcheck.h"
#include "tests/support/torch/tolerance.h"

namespace everlong::ops {
namespace {

using testing::all_close;
using testing::gradcheck;
using testing::tolerance_for;

struct Parameters {
  at::Tensor alpha, delta, theta, gamma;
};

Parameters random_parameters(int64_t model_dim, int64_t ema_ndim, at::ScalarType dtype = at::kDouble) {
  at::manual_seed(3);
  return {at::randn({model_dim, ema_ndim, 1}, at::kDouble).to(dtype), at::randn({model_dim, ema_ndim, 1}, at::kDouble).to(dtype),
          at::randn({model_dim, 1, 1}, at::kDouble).to(dtype), at::randn({model_dim, ema_ndim, 2}, at::kDouble).to(dtype)};
}

ComplexEmaCoefficients coefficients_of(const Parameters& p) { return complex_ema_coefficients(p.alpha, p.delta, p.theta, p.gamma); }

std::complex<double> complex_at(const at::Tensor& pairs, int64_t d, int64_t n) {
  return {pairs[d][n][0].item<double>(), pairs[d][n][1].item<double>()};
}
double logistic(const at::Tensor& logit) { return 1 / (1 + std::exp(-logit.item<double>())); }

TEST(ComplexEmaCoefficients, FollowTheReleasedEquations) {
  const auto in = random_parameters(4, 5);
  const auto out = coefficients_of(in);
  ASSERT_EQ(out.q.sizes(), (std::vector<int64_t>{4, 5, 2}));
  ASSERT_EQ(out.c.sizes(), (std::vector<int64_t>{4, 5, 2}));
  ASSERT_EQ(out.input_weight.sizes(), (std::vector<int64_t>{4, 5}));
  for (int64_t d = 0; d < 4; ++d) {
    for (int64_t n = 0; n < 5; ++n) {
      const double p = logistic(in.alpha[d][n][0]), radius = 1 - p * logistic(in.delta[d][n][0]);
      const double angle = static_cast<double>(n + 1) * logistic(in.theta[d][0][0]) * 2 * 3.14159265358979323846 / 5;
      EXPECT_LT(std::abs(complex_at(out.q, d, n) - std::polar(radius, angle)), 1e-14);
      EXPECT_LT(std::abs(complex_at(out.c, d, n) - p * complex_at(in.gamma, d, n) * std::sqrt(0.2)), 1e-14);
      EXPECT_NEAR(out.input_weight[d][n].item<double>(), p, 1e-15);
    }
  }
}

TEST(ComplexEmaCoefficients, TheSequencesAreMegalodonsKernelAndItsState) {
  const auto in = random_parameters(3, 4);
  const auto [q, c, input_weight] = coefficients_of(in);
  const auto x = at::randn({2, 20, 3}, at::kDouble);
  const auto omega = at::zeros({3}, at::kDouble);
  // The release's own order: input p x, states p h, weights g.
  const auto g = at::view_as_complex(in.gamma) * std::sqrt(0.25), q_complex = at::view_as_complex(q.contiguous());
  auto h = at::zeros({2, 3, 4}, at::kComplexDouble);
  std::vector<at::Tensor> outputs;
  for (int64_t t = 0; t < 20; ++t) {
    h = q_complex * h + input_weight * x.select(1, t).unsqueeze(-1);
    outputs.push_back(at::real(g * h).sum(-1));
  }
  const auto result = complex_ema(x, q, c, omega);
  EXPECT_TRUE(all_close(result.output, at::stack(outputs, 1), tolerance_for(20, at::kDouble)));
  EXPECT_TRUE(all_close(input_weight.unsqueeze(-1) * result.state, at::view_as_real(h), tolerance_for(20, at::kDouble)));
}

TEST(ComplexEmaCoefficients, AreWhatCentralDifferencesSay) {
  const auto in = random_parameters(3, 4);
  EXPECT_TRUE(gradcheck(
      [](const auto& inputs) {
        const auto out = complex_ema_coefficients(inputs[0], inputs[1], inputs[2], inputs[3]);
        return std::vector{out.q, out.c, out.input_weight};
      },
      {{"alpha", in.alpha}, {"delta", in.delta}, {"theta", in.theta}, {"gamma", in.gamma}}));
}

TEST(MegalodonAcceptance, Line04ADecayOfZeroIsExactAndHasFiniteGradients) {
  auto in = random_parameters(2, 3, at::kFloat);
  in.alpha.fill_(90);
  in.delta.fill_(90);
  for (auto* parameter : {&in.alpha, &in.delta, &in.theta, &in.gamma}) parameter->requires_grad_(true);
  const auto [q, c, input_weight] = coefficients_of(in);
  EXPECT_TRUE(q.eq(0).all().item<bool>());
  const auto x = at::randn({2, 9, 2});
  const auto result = complex_ema(x, q, c, at::zeros({2}));
  EXPECT_TRUE(all_close(result.output, x * c.select(-1, 0).sum(-1), tolerance_for(3, at::kFloat)));  // nothing but the present token
  result.output.sum().backward();
  for (const auto* parameter : {&in.alpha, &in.delta, &in.theta, &in.gamma}) EXPECT_TRUE(parameter->grad().isfinite().all().item<bool>());
}

TEST(MegalodonAcceptance, Line04DecaysReachARadiusOfOneOnlyFromBelow) {
  auto in = random_parameters(2, 3, at::kFloat);
  in.alpha.fill_(-30);
  in.delta.fill_(-30);
  const auto q = coefficients_of(in).q;
  EXPECT_LE(q.square().sum(-1).sqrt().max().item<float>(), 1 + 1e-6f);
}

TEST(ComplexEmaCoefficients, AreComputedInSinglePrecisionFromBfloat16) {
  const auto out = coefficients_of(random_parameters(2, 3, at::kBFloat16));
  EXPECT_EQ(out.q.scalar_type(), at::kFloat);
  EXPECT_EQ(out.c.scalar_type(), at::kFloat);
  EXPECT_EQ(out.input_weight.scalar_type(), at::kFloat);
}

}  // namespace
}  // namespace everlong::ops
