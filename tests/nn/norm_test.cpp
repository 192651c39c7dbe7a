#include "everlong/nn/norm.h"

#include <cmath>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/nn/activation.h"
#include "everlong/nn/linear.h"
#include "everlong/tensor/torch.h"
#include "tests/support/torch/tolerance.h"

namespace everlong::nn {
namespace {

using testing::all_close;

constexpr int64_t kWidth = 3;
constexpr double kEps = 1e-2;
const testing::Tolerance kRounding{.relative = 1e-14};

/// [1, 2, 3] numbers without symmetry.
at::Tensor input() { return at::tensor({1.0, -2.0, 4.0, 0.5, 0.25, -3.0}, at::kDouble).view({1, 2, kWidth}); }

std::shared_ptr<Norm> make(NormType type, bool affine = true) {
  auto norm = std::make_shared<Norm>(type, kWidth, affine, kEps);
  norm->to(at::kDouble);
  const at::NoGradGuard no_grad;
  for (auto& item : norm->named_parameters())
    item.value().copy_(item.key() == "scale"    ? at::tensor({1.5}, at::kDouble)
                       : item.key() == "weight" ? at::tensor({2.0, -1.0, 0.5}, at::kDouble)
                                                : at::tensor({0.1, 0.2, 0.3}, at::kDouble));
  return norm;
}

/// Row by row, from the numbers of a row to those of the result.
template <class F>
at::Tensor by_rows(const at::Tensor& x, F&& row) {
  at::Tensor y = at::empty_like(x);
  for (int64_t t = 0; t < x.size(1); ++t) {
    std::vector<double> values;
    for (int64_t d = 0; d < kWidth; ++d) values.push_back(x[0][t][d].item<double>());
    const std::vector<double> result = row(values);
    for (int64_t d = 0; d < kWidth; ++d) y[0][t][d] = result[static_cast<size_t>(d)];
  }
  return y;
}

constexpr double kWeight[] = {2.0, -1.0, 0.5}, kBias[] = {0.1, 0.2, 0.3};

std::vector<double> rms(const std::vector<double>& x) {
  const double scale = 1 / std::sqrt((x[0] * x[0] + x[1] * x[1] + x[2] * x[2]) / 3 + kEps);
  return {x[0] * scale, x[1] * scale, x[2] * scale};
}

TEST(Norm, LayerNormTakesOffTheMeanAndDividesByTheDeviation) {
  const auto expected = by_rows(input(), [](const std::vector<double>& x) {
    const double mean = (x[0] + x[1] + x[2]) / 3;
    double variance = 0;
    for (const double value : x) variance += (value - mean) * (value - mean) / 3;
    std::vector<double> y;
    for (size_t d = 0; d < 3; ++d) y.push_back((x[d] - mean) / std::sqrt(variance + kEps) * kWeight[d] + kBias[d]);
    return y;
  });
  EXPECT_TRUE(all_close(make(NormType::layernorm)->forward(input()), expected, kRounding));
}

TEST(Norm, RmsNormDividesByTheRootOfTheMeanSquare) {
  const auto expected = by_rows(input(), [](const std::vector<double>& x) {
    auto y = rms(x);
    for (size_t d = 0; d < 3; ++d) y[d] *= kWeight[d];
    return y;
  });
  EXPECT_TRUE(all_close(make(NormType::rmsnorm)->forward(input()), expected, kRounding));
  EXPECT_TRUE(all_close(make(NormType::rmsnorm, false)->forward(input()), by_rows(input(), rms), kRounding));
}

TEST(Norm, ScaleNormHasOneScalar) { EXPECT_TRUE(all_close(make(NormType::scalenorm)->forward(input()), by_rows(input(), rms) * 1.5, kRounding)); }

TEST(Norm, TheWeightOnlyFormMultipliesAndDoesNotNormalise) {
  const auto expected = by_rows(input(), [](const std::vector<double>& x) { return std::vector<double>{x[0] * 2.0, -x[1], x[2] * 0.5}; });
  EXPECT_TRUE(all_close(make(NormType::rmsnorm_weight_only)->forward(input()), expected, kRounding));
  EXPECT_TRUE(testing::all_equal(make(NormType::rmsnorm_weight_only, false)->forward(input()), input()));
}

TEST(Norm, BatchNormUsesTheBatchInTrainingAndWhatItRememberedOtherwise) {
  const auto norm = make(NormType::batchnorm);
  norm->train();
  const at::Tensor x = input();
  at::Tensor expected = at::empty_like(x), remembered = at::empty_like(x);
  for (int64_t d = 0; d < kWidth; ++d) {
    const double a = x[0][0][d].item<double>(), b = x[0][1][d].item<double>(), mean = (a + b) / 2;
    const double spread = (a - b) * (a - b) / 4;
    const double running_mean = 0.1 * mean, running_var = 0.9 + 0.1 * spread * 2;  // the unbiased variance of two numbers
    for (int64_t t = 0; t < 2; ++t) {
      const double value = x[0][t][d].item<double>();
      expected[0][t][d] = (value - mean) / std::sqrt(spread + kEps) * kWeight[d] + kBias[d];
      remembered[0][t][d] = (value - running_mean) / std::sqrt(running_var + kEps) * kWeight[d] + kBias[d];
    }
  }
  EXPECT_TRUE(all_close(norm->forward(x), expected, kRounding));
  norm->eval();
  EXPECT_TRUE(all_close(norm->forward(x), remembered, kRounding));
  EXPECT_EQ(norm->named_buffers()["num_batches_tracked"].item<int64_t>(), 1);
}

TEST(Norm, Bf16InputsAreMeasuredInFp32) {
  const auto norm = std::make_shared<Norm>(NormType::rmsnorm, 512, false, 0.0);
  const at::Tensor x = at::full({1, 1, 512}, 3.0, at::kBFloat16);  // a sum of squares in bf16 would stop growing at 2048
  const at::Tensor y = norm->forward(x);
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(testing::all_equal(y, at::ones_like(x)));
}

TEST(Activation, EachNameIsItsFormula) {
  const at::Tensor x = at::tensor({-1.5, 0.0, 0.7}, at::kDouble);
  const auto expect = [&](Activation activation, double (*formula)(double)) {
    const at::Tensor y = activate(activation, x);
    for (int64_t i = 0; i < 3; ++i) EXPECT_NEAR(y[i].item<double>(), formula(x[i].item<double>()), 1e-14);
  };
  expect(Activation::silu, [](double v) { return v / (1 + std::exp(-v)); });
  expect(Activation::relu, [](double v) { return v > 0 ? v : 0; });
  expect(Activation::linear, [](double v) { return v; });
  expect(Activation::gelu, [](double v) { return 0.5 * v * (1 + std::erf(v / std::sqrt(2.0))); });
  expect(Activation::gelu_accurate, [](double v) { return 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v))); });
}

TEST(Dropout, KeepsTheMeanInTrainingAndEverythingOtherwise) {
  at::manual_seed(1);
  const at::Tensor x = at::ones({4, 500, 10}, at::kDouble);
  EXPECT_TRUE(testing::all_equal(nn::dropout(x, 0.3, false), x));
  const at::Tensor dropped = nn::dropout(x, 0.3, true);
  EXPECT_NEAR(dropped.mean().item<double>(), 1.0, 0.02);  // 4.3 standard deviations of a mean of 20,000
  EXPECT_NEAR(dropped.max().item<double>(), 1 / 0.7, 1e-12);
  EXPECT_EQ(dropped.min().item<double>(), 0.0);
}

TEST(Dropout, OfFeaturesDecidesOnceForAllTime) {
  at::manual_seed(1);
  const at::Tensor dropped = nn::feature_dropout(at::ones({8, 5, 16}, at::kDouble), 0.5, true);
  EXPECT_TRUE(testing::all_equal(dropped, dropped.narrow(1, 0, 1).expand_as(dropped)));
  EXPECT_EQ(dropped.max().item<double>(), 2.0);
  EXPECT_EQ(dropped.min().item<double>(), 0.0);
}

TEST(Embedding, TokensOutsideTheTableAreRefused) {
  const Embedding embedding(5, 2);
  EXPECT_THROW(static_cast<void>(embedding.forward(at::tensor({0, 5}, at::kLong), at::kFloat)), InvalidArgument);
  EXPECT_THROW(static_cast<void>(embedding.forward(at::tensor({-1, 4}, at::kLong), at::kFloat)), InvalidArgument);
  EXPECT_EQ(embedding.forward(at::tensor({0, 4}, at::kLong), at::kFloat).size(1), 2);
}

TEST(Embedding, ManyTokensOrFewWithGradientsOrWithoutGiveTheSameRows) {
  Embedding embedding(50, 3);
  const at::Tensor many = at::randint(50, {2, 70}, at::kLong);
  for (const at::ScalarType stored : {at::kFloat, at::kBFloat16})
    for (const at::Tensor& tokens : {many, many.narrow(1, 3, 1), many.narrow(1, 3, 1).contiguous(), many.narrow(1, 0, 0)}) {
      embedding.weight.set_data(at::randn({50, 3}).to(stored));
      const at::Tensor rows = embedding.forward(tokens, at::kFloat);
      const at::NoGradGuard no_grad;
      EXPECT_TRUE(testing::all_equal(embedding.forward(tokens, at::kFloat), rows)) << tokens.sizes();
      EXPECT_TRUE(testing::all_equal(rows, embedding.weight.index({tokens}).to(at::kFloat))) << tokens.sizes();
    }
}

}  // namespace
}  // namespace everlong::nn
