#include "everlong/kernels/cpu/cross_entropy.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "everlong/base/rng.h"

namespace everlong::kernels {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

TEST(CrossEntropy, LossesAndGradientsFollowTheirEquation) {
  for (const int64_t vocab_size : {1, 15, 16, 31, 64, 1000}) {
    constexpr int64_t kRows = 9;
    const int64_t stride = vocab_size + 3;
    CounterRng rng(1, 0);
    std::vector<float> logits(size_t(kRows * stride), kNaN), bias(static_cast<size_t>(vocab_size)), losses(kRows, kNaN);
    std::vector<int64_t> targets;
    for (float& value : bias) value = float(rng.next_uniform());
    for (int64_t i = 0; i < kRows; ++i) {
      targets.push_back(i == 4 ? -100 : int64_t(rng.next_below(uint64_t(vocab_size))));
      for (int64_t v = 0; v < vocab_size; ++v) logits[size_t(i * stride + v)] = float(20 * rng.next_uniform() - 10);
    }
    const CrossEntropyRows rows{.num_rows = kRows,
                                .vocab_size = vocab_size,
                                .row_stride = stride,
                                .targets = targets.data(),
                                .bias = bias.data(),
                                .losses = losses.data(),
                                .grad_scale = 0.25f};
    auto grads = logits;
    cross_entropy(rows, logits.data(), serial_for);
    const auto forward_losses = losses;
    cross_entropy_backward(rows, grads.data(), serial_for);
    EXPECT_EQ(losses, forward_losses);

    for (int64_t i = 0; i < kRows; ++i) {
      double sum = 0;
      for (int64_t v = 0; v < vocab_size; ++v) sum += std::exp(double(logits[size_t(i * stride + v)]) + double(bias[size_t(v)]));
      const int64_t target = targets[size_t(i)];
      for (int64_t v = 0; v < vocab_size; ++v) {
        const double logit = double(logits[size_t(i * stride + v)]) + double(bias[size_t(v)]), grad = std::exp(logit) / sum - (v == target);
        EXPECT_NEAR(grads[size_t(i * stride + v)], target == -100 ? 0 : 0.25 * grad, 1e-6);
        if (v == target) {
          EXPECT_NEAR(losses[size_t(i)], std::log(sum) - logit, 2e-6 * std::max(1.0, std::log(sum)));
        }
      }
      if (target == -100) {
        EXPECT_EQ(losses[size_t(i)], 0);
      }
      for (int64_t v = vocab_size; v < stride; ++v) EXPECT_TRUE(std::isnan(grads[size_t(i * stride + v)]));
    }
  }
}

TEST(CrossEntropy, ANaNLogitIsNotHidden) {
  std::vector<float> logits(40, 1.0f), losses(1);
  logits[33] = kNaN;
  const int64_t target = 2;
  const CrossEntropyRows rows{.num_rows = 1, .vocab_size = 40, .row_stride = 40, .targets = &target, .losses = losses.data()};
  cross_entropy(rows, logits.data(), serial_for);
  EXPECT_TRUE(std::isnan(losses[0]));
}

}  // namespace
}  // namespace everlong::kernels
