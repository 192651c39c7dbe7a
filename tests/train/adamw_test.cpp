#include "everlong/train/adamw.h"

#include <cmath>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/tensor/torch.h"
#include "everlong/train/weight_average.h"
#include "tests/support/message.h"

namespace everlong::train {
namespace {

constexpr double kRounding = 1e-14;

NamedParameter parameter(const std::string& name, std::vector<double> values) {
  return {.name = name, .tensor = at::tensor(values, at::kDouble).requires_grad_(true)};
}

/// One number and its moments, stepped by the published equations.
struct Scalar {
  double w = 0, m = 0, v = 0;
  int64_t t = 0;

  void step(double g, double lr, double weight_decay, const AdamWOptions& o) {
    ++t;
    w -= lr * weight_decay * w;
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    const double corrected_m = m / (1 - std::pow(o.beta1, t)), corrected_v = v / (1 - std::pow(o.beta2, t));
    w -= lr * corrected_m / (std::sqrt(corrected_v) + o.eps);
  }
};

void set_gradient(const at::Tensor& parameter, const std::vector<double>& gradient) {
  at::Tensor target = parameter;
  target.mutable_grad() = at::tensor(gradient, at::kDouble);
}

TEST(AdamW, FollowsTheEquationsForSevenSteps) {
  const AdamWOptions options{.beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3};
  const NamedParameter decayed = parameter("a", {0.5, -2.0}), plain = parameter("b", {1.5});
  AdamW optimizer({{.parameters = {decayed}, .weight_decay = 0.3}, {.parameters = {plain}}}, options);
  Scalar a0{.w = 0.5}, a1{.w = -2.0}, b{.w = 1.5};
  for (int step = 0; step < 7; ++step) {
    const double lr = 0.1 / (1 + step), g0 = std::sin(step + 1.0), g1 = 5 * std::cos(3.0 * step), g2 = 0.01 * step - 0.02;
    set_gradient(decayed.tensor, {g0, g1});
    set_gradient(plain.tensor, {g2});
    optimizer.step(lr);
    a0.step(g0, lr, 0.3, options);
    a1.step(g1, lr, 0.3, options);
    b.step(g2, lr, 0, options);
    EXPECT_NEAR(decayed.tensor[0].item<double>(), a0.w, kRounding) << step;
    EXPECT_NEAR(decayed.tensor[1].item<double>(), a1.w, kRounding) << step;
    EXPECT_NEAR(plain.tensor[0].item<double>(), b.w, kRounding) << step;
  }
}

TEST(AdamW, AParameterWithoutAGradientKeepsItsWeightAndItsStepCount) {
  const AdamWOptions options{.eps = 1e-3};
  const NamedParameter seen = parameter("seen", {1.0}), rare = parameter("rare", {1.0});
  AdamW optimizer({{.parameters = {seen, rare}, .weight_decay = 0.5}}, options);
  set_gradient(seen.tensor, {2.0});
  optimizer.step(0.1);
  EXPECT_EQ(rare.tensor[0].item<double>(), 1.0);
  set_gradient(rare.tensor, {2.0});
  optimizer.step(0.1);
  Scalar expected{.w = 1.0};
  expected.step(2.0, 0.1, 0.5, options);
  EXPECT_NEAR(rare.tensor[0].item<double>(), expected.w, kRounding);
}

TEST(AdamW, ClippingScalesAllGradientsByTheirCommonNorm) {
  const NamedParameter a = parameter("a", {0, 0}), b = parameter("b", {0});
  AdamW optimizer({{.parameters = {a}}, {.parameters = {b}}}, {});
  const auto set = [&] {
    set_gradient(a.tensor, {3, 4});
    set_gradient(b.tensor, {12});
  };
  set();
  EXPECT_NEAR(optimizer.clip_gradients(6.5), 13.0, kRounding);
  EXPECT_NEAR(a.tensor.grad()[0].item<double>(), 1.5, kRounding);
  EXPECT_NEAR(a.tensor.grad()[1].item<double>(), 2.0, kRounding);
  EXPECT_NEAR(b.tensor.grad()[0].item<double>(), 6.0, kRounding);
  for (const double untouched : {0.0, 13.5}) {
    set();
    EXPECT_NEAR(optimizer.clip_gradients(untouched), 13.0, kRounding);
    EXPECT_EQ(b.tensor.grad()[0].item<double>(), 12.0);
  }
  optimizer.zero_grad();
  EXPECT_EQ(optimizer.clip_gradients(1.0), 0.0);
}

TEST(AdamW, ContinuesFromSavedMomentsBitForBit) {
  const NamedParameter kept = parameter("w", {0.1, 0.2, 0.3});
  AdamW first({{.parameters = {kept}, .weight_decay = 0.1}}, {});
  const auto step = [](AdamW& optimizer, const NamedParameter& on, double g) {
    set_gradient(on.tensor, {g, -g, g * g});
    optimizer.step(0.01);
  };
  step(first, kept, 0.7);
  checkpoint::TensorMap saved;
  first.save(saved);
  for (auto& item : saved) item.second = item.second.clone();
  const NamedParameter other{.name = "w", .tensor = kept.tensor.detach().clone().requires_grad_(true)};
  AdamW second({{.parameters = {other}, .weight_decay = 0.1}}, {});
  second.load(saved, "trainer.safetensors");
  step(first, kept, -0.4);
  step(second, other, -0.4);
  EXPECT_TRUE(at::equal(kept.tensor, other.tensor));
}

TEST(AdamW, MomentsOfAnotherModelAreRefusedByName) {
  AdamW optimizer({{.parameters = {parameter("w", {1, 2})}}}, {});
  checkpoint::TensorMap saved;
  optimizer.save(saved);
  const auto message = [&] { return testing::message_of<FormatError>([&] { optimizer.load(saved, "trainer.safetensors"); }); };
  saved["optim.v.w"] = at::zeros({3}, at::kDouble);
  EXPECT_NE(message().find("optim.v.w"), std::string::npos) << message();
  EXPECT_NE(message().find("[3]"), std::string::npos) << message();
  saved.erase("optim.v.w");
  EXPECT_NE(message().find("optim.v.w"), std::string::npos) << message();
}

TEST(WeightAverage, BeginsWithAShortMemoryAndEndsWithTheDecayAskedFor) {
  const NamedParameter weight = parameter("w", {1.0});
  WeightAverage average({weight}, 0.5);
  const at::NoGradGuard no_grad;
  double expected = 1.0;
  for (int64_t step = 1; step <= 20; ++step) {
    weight.tensor.fill_(static_cast<double>(step * step));
    average.update(step);
    const double decay = step < 8 ? (1.0 + static_cast<double>(step)) / (10.0 + static_cast<double>(step)) : 0.5;  // both are 1/2 at step 8
    expected = decay * expected + (1 - decay) * static_cast<double>(step * step);
  }
  {
    const UseAverage averaged(&average);
    EXPECT_NEAR(weight.tensor.item<double>(), expected, 1e-12);
  }
  EXPECT_EQ(weight.tensor.item<double>(), 400.0);
  const UseAverage none(nullptr);
  EXPECT_EQ(weight.tensor.item<double>(), 400.0);
}

TEST(WeightAverage, IsSavedAndLoadedAndRefusesAnotherModel) {
  const NamedParameter weight = parameter("w", {1.0, 2.0});
  WeightAverage average({weight}, 0.9);
  checkpoint::TensorMap saved{{"average.w", at::tensor({7.0, 8.0}, at::kDouble)}};
  average.load(saved, "f");
  checkpoint::TensorMap again;
  average.save(again);
  EXPECT_TRUE(at::equal(again.at("average.w"), saved.at("average.w")));
  saved["average.w"] = at::zeros({3}, at::kDouble);
  EXPECT_THROW(average.load(saved, "f"), FormatError);
  EXPECT_THROW(average.load({}, "f"), FormatError);
}

TEST(AdamW, AStepCountsAsAWriteSoThatValuesDerivedFromParametersAreMadeAgain) {
  at::Tensor parameter = at::ones({2}).requires_grad_(true);
  AdamW optimizer({{.parameters = {{"p", parameter}}}}, {});
  parameter.sum().backward();
  const auto before = parameter._version();
  optimizer.step(0.1);
  EXPECT_GT(parameter._version(), before);
}

}  // namespace
}  // namespace everlong::train
