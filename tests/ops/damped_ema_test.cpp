#include "everlong/ops/ema/damped_ema.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "everlong/ops/ema/ema.h"
#include "tests/support/torch/gradcheck.h"
#include "tests/support/torch/tolerance.h"

namespace everlong::ops {
namespace {

using testing::all_close;
using testing::gradcheck;
using testing::tolerance_for;

at::Tensor logits(uint64_t seed) {
  at::manual_seed(seed);
  return at::randn({5, 3}, at::kDouble);
}

TEST(DampedEma, IsTheConvolutionWithMegasKernel) {
  const auto damping = logits(1), decay = logits(2), beta = logits(3), gamma = logits(4);
  const auto x = at::randn({2, 20, 5}, at::kDouble);
  const auto p = at::sigmoid(damping), log_q = at::log1p(-p * at::sigmoid(decay));
  const auto lags = at::arange(20, at::kDouble);
  const auto kernel = at::einsum("dn,dnl->dl", {gamma * p * beta * std::sqrt(1.0 / 3), at::exp(log_q.unsqueeze(-1) * lags)});
  auto expected = at::zeros_like(x);
  for (int64_t t = 0; t < 20; ++t) {
    for (int64_t lag = 0; lag <= t; ++lag) expected.select(1, t).add_(kernel.select(1, lag) * x.select(1, t - lag));
  }
  const auto [q, c, input_weight] = damped_ema_coefficients({damping, decay, beta, gamma});
  EXPECT_TRUE(all_close(ema(x, q, c).output, expected, tolerance_for(20, at::kDouble)));
  EXPECT_TRUE(all_close(input_weight, p * beta, tolerance_for(1, at::kDouble)));
}

TEST(DampedEma, IsWhatCentralDifferencesSay) {
  EXPECT_TRUE(gradcheck(
      [](const auto& in) {
        const auto coefficients = damped_ema_coefficients({in[0], in[1], in[2], in[3]});
        return std::vector{coefficients.q, coefficients.c, coefficients.input_weight};
      },
      {{"damping", logits(1)}, {"decay", logits(2)}, {"expansion", logits(3)}, {"projection", logits(4)}}));
}

TEST(DampedEma, KeepsTheDecayPositiveWhereBothSigmoidsRoundToOne) {
  const auto large = at::full({1, 1}, 90.0f), one = at::ones({1, 1});
  const auto coefficients = damped_ema_coefficients({large, large, one, one});
  EXPECT_EQ(coefficients.q.item<float>(), 0x1p-24f);
  EXPECT_TRUE(ema(at::randn({1, 8, 1}), coefficients.q, coefficients.c).output.isfinite().all().item<bool>());
}

TEST(DampedEma, ComputesInSinglePrecisionFromBfloat16) {
  const auto p = logits(1).to(at::kBFloat16);
  const auto coefficients = damped_ema_coefficients({p, p, p, p});
  EXPECT_EQ(coefficients.q.scalar_type(), at::kFloat);
  EXPECT_EQ(coefficients.c.scalar_type(), at::kFloat);
}

}  // namespace
}  // namespace everlong::ops
