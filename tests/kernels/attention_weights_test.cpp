#include "everlong/kernels/cpu/attention_weights.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "everlong/base/rng.h"

namespace everlong::kernels {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::vector<float> random_values(size_t count, uint64_t stream, double size) {
  CounterRng rng(3, stream);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>((2 * rng.next_uniform() - 1) * size);
  return values;
}

/// Cuts the work into pieces of one item, last first.
void pieces_of_one(int64_t begin, int64_t end, int64_t /*grain*/, const std::function<void(int64_t, int64_t)>& body) {
  for (int64_t i = end; i-- > begin;) body(i, i + 1);
}

double exact_weight(AttentionFunction function, double score) {
  if (function == AttentionFunction::relu2) return std::pow(std::max(score, 0.0), 2);
  return 0.5 * (1 + std::erf((score - kLaplaceMean) / (kLaplaceDeviation * std::sqrt(2.0))));
}

TEST(AttentionWeights, LaplaceAgreesWithErfOverItsWholeRange) {
  constexpr int64_t kCount = 40001;
  std::vector<float> scores(kCount);
  for (int64_t i = 0; i < kCount; ++i) scores[size_t(i)] = static_cast<float>(double(i - kCount / 2) / 4000);
  scores[0] = -std::numeric_limits<float>::infinity(), scores[1] = std::numeric_limits<float>::infinity(), scores[2] = 3e38f;
  std::vector<float> weights = scores;
  for (float& value : weights) value *= kCount;  // the kernel divides by the number of keys
  const AttentionMatrix matrix;
  AttentionBlock block{
      .function = AttentionFunction::laplace, .matrices = {&matrix, 1}, .num_queries = 1, .num_keys = kCount, .query_stride = kCount};
  attention_weights(block, weights.data(), serial_for);
  double worst = 0;
  for (size_t i = 0; i < weights.size(); ++i)
    worst = std::max(worst, std::abs(double(weights[i]) - exact_weight(AttentionFunction::laplace, scores[i])));
  EXPECT_LE(worst, 2.5e-7);  // of which 1.4 x 2^-24 x 5 is the rounding of the score
}

TEST(AttentionWeights, SoftmaxSumsToOneFromTheSmallestToTheLargestScores) {
  for (const double size : {1e-3, 1.0, 30.0, 1e4, 1e30}) {
    for (const int64_t num_keys : {1, 15, 16, 17, 300}) {
      auto values = random_values(size_t(num_keys), 1, size);
      const auto scores = values;
      float log_sum_exp = kNaN;
      const AttentionMatrix matrix{.log_sum_exp = &log_sum_exp};
      const AttentionBlock block{.matrices = {&matrix, 1}, .num_queries = 1, .num_keys = num_keys, .query_stride = num_keys};
      attention_weights(block, values.data(), serial_for);
      const double top = *std::max_element(scores.begin(), scores.end());
      double sum = 0, total = 0;
      for (const float score : scores) sum += std::exp(score - top);
      for (size_t j = 0; j < values.size(); ++j) {
        EXPECT_NEAR(values[j], std::exp(scores[j] - top) / sum, 1e-6);
        total += values[j];
      }
      EXPECT_NEAR(total, 1, 1e-6);
      EXPECT_NEAR(log_sum_exp, top + std::log(sum), 1e-6 * std::max(1.0, std::abs(top)));
    }
  }
}

TEST(AttentionWeights, WritesEveryKeyOfARowAndNothingElse) {
  constexpr int64_t kQueries = 70, kKeys = 37, kStride = 41;
  for (const auto function : {AttentionFunction::softmax, AttentionFunction::relu2, AttentionFunction::laplace}) {
    std::vector<float> values(2 * kQueries * kStride, kNaN);
    for (int64_t i = 0; i < 2 * kQueries; ++i) {
      for (int64_t j = 0; j < std::min<int64_t>(i % kQueries + 1, kKeys); ++j) values[size_t(i * kStride + j)] = 1;  // invisible keys hold NaN
    }
    const AttentionMatrix matrices[2];
    const AttentionBlock block{.function = function,
                               .matrices = matrices,
                               .num_queries = kQueries,
                               .num_keys = kKeys,
                               .query_stride = kStride,
                               .matrix_stride = kQueries * kStride,
                               .causal = true};
    auto again = values;
    attention_weights(block, values.data(), serial_for);
    attention_weights(block, again.data(), pieces_of_one);
    EXPECT_EQ(std::memcmp(values.data(), again.data(), values.size() * sizeof(float)), 0);
    for (int64_t i = 0; i < 2 * kQueries; ++i) {
      for (int64_t j = 0; j < kStride; ++j) {
        const float value = values[size_t(i * kStride + j)];
        if (j >= kKeys) {
          EXPECT_TRUE(std::isnan(value));
        }
        if (j < kKeys && j > i % kQueries) {
          EXPECT_EQ(value, 0);
        }
        if (j <= std::min<int64_t>(i % kQueries, kKeys - 1)) {
          EXPECT_GT(value, 0);
        }
      }
    }
  }
}

TEST(AttentionWeights, NaNInAVisibleKeyReachesTheWeights) {
  for (const auto function : {AttentionFunction::softmax, AttentionFunction::laplace}) {
    std::vector<float> values(20, 0.5f);
    values[3] = kNaN;
    const AttentionMatrix matrix;
    const AttentionBlock block{.function = function, .matrices = {&matrix, 1}, .num_queries = 1, .num_keys = 20, .query_stride = 20};
    attention_weights(block, values.data(), serial_for);
    EXPECT_TRUE(std::isnan(values[3]));
  }
}

TEST(AttentionWeights, GradientsAreThoseOfCentralDifferences) {
  constexpr int64_t kQueries = 67, kKeys = 70, kPlace = 3;
  for (const auto function : {AttentionFunction::softmax, AttentionFunction::relu2, AttentionFunction::laplace}) {
    const auto products = random_values(kQueries * kKeys, 1, 2), incoming = random_values(kQueries * kKeys, 2, 1),
               bias = random_values(2 * kKeys - 1, 3, 1);
    std::vector<float> log_sum_exp(kQueries);
    const AttentionMatrix matrix{.log_sum_exp = log_sum_exp.data(), .first_query = 5};
    AttentionBlock block{.function = function,
                         .matrices = {&matrix, 1},
                         .num_queries = kQueries,
                         .num_keys = kKeys,
                         .query_stride = kKeys,
                         .query_place = kPlace,
                         .causal = true,
                         .scale = 0.7f,
                         .bias = bias.data() + kKeys - 1,
                         .dropout = 0.2,
                         .dropout_seed = 4};
    const auto loss = [&](const std::vector<float>& x) {
      auto weights = x;
      attention_weights(block, weights.data(), serial_for);
      double sum = 0;
      for (size_t i = 0; i < weights.size(); ++i) sum += double(weights[i]) * double(incoming[i]);
      return sum;
    };
    auto weights = products, grads = incoming;
    loss(products);
    std::vector<float> bands(size_t(bias_bands_size(block)), kNaN);
    attention_weights_backward(block, weights.data(), grads.data(), bands.data(), pieces_of_one);
    std::vector<double> grad_bias(bias.size());
    add_bias_bands(block, bands.data(), grad_bias.data() + kKeys - 1);

    auto forward = products;
    attention_weights(block, forward.data(), serial_for);
    for (size_t i = 0; i < forward.size(); ++i) EXPECT_NEAR(forward[i], weights[i], 2e-6 * std::max(1.0f, forward[i]));
    for (size_t i = 5; i < products.size(); i += 97) {
      auto up = products, down = products;
      up[i] += 0.01f, down[i] -= 0.01f;
      EXPECT_NEAR(grads[i], (loss(up) - loss(down)) / 0.02, 3e-3) << i;
    }
    auto shifted = bias;
    for (size_t d = 0; d < bias.size(); d += 9) {
      shifted[d] = bias[d] + 0.01f;
      block.bias = shifted.data() + kKeys - 1;
      const double up = loss(products);
      shifted[d] = bias[d] - 0.01f;
      EXPECT_NEAR(grad_bias[d], (up - loss(products)) / 0.02, 1e-2 * std::max(1.0, std::abs(grad_bias[d]))) << d;
      shifted[d] = bias[d];
    }
    block.bias = bias.data() + kKeys - 1;
  }
}

TEST(AttentionDropout, DropsTheShareItWasAskedForAndScalesTheRest) {
  for (const double p : {0.0, 0.1, 0.5, 0.9}) {
    double kept = 0, sum = 0;
    constexpr int kQueries = 100, kKeys = 1000;
    for (int query = 0; query < kQueries; ++query) {
      std::vector<float> factors(kKeys, kNaN);
      attention_dropout_factors(p, 17, query, factors);
      for (const float factor : factors) {
        EXPECT_TRUE(factor == 0 || std::abs(factor * (1 - p) - 1) < 1e-4);
        kept += factor > 0;
        sum += factor;
      }
    }
    const double deviation = std::sqrt(p * (1 - p) / (kQueries * kKeys));
    EXPECT_NEAR(kept / (kQueries * kKeys), 1 - p, 5 * deviation + 1e-9);
    EXPECT_NEAR(sum / (kQueries * kKeys), 1, 5 * deviation / (1 - p) + 1e-9);
  }
}

TEST(AttentionDropout, QueriesSeedsAndKeysAreIndependent) {
  std::vector<float> a(512), b(512), c(512);
  attention_dropout_factors(0.5, 1, 0, a);
  attention_dropout_factors(0.5, 1, 1, b);
  attention_dropout_factors(0.5, 2, 0, c);
  const auto agreement = [](const std::vector<float>& x, const std::vector<float>& y, size_t shift) {
    double equal = 0;
    for (size_t i = shift; i < x.size(); ++i) equal += x[i] == y[i - shift];
    return equal / double(x.size() - shift);
  };
  EXPECT_NEAR(agreement(a, b, 0), 0.5, 0.12);
  EXPECT_NEAR(agreement(a, c, 0), 0.5, 0.12);
  for (const size_t shift : {1, 16, 32, 128}) EXPECT_NEAR(agreement(a, a, shift), 0.5, 0.13) << shift;
}

}  // namespace
}  // namespace everlong::kernels
