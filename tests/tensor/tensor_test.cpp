#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/tensor/activation_checkpointing.h"
#include "everlong/tensor/device.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"
#include "everlong/tensor/view.h"
#include "tests/support/message.h"
#include "tests/support/torch/tolerance.h"

namespace everlong {
namespace {

using testing::message_of;

using testing::all_equal;

TEST(Shape, TensorsAreDescribedInWords) {
  EXPECT_EQ(describe(at::zeros({2, 16, 8})), "Float [2, 16, 8] on cpu");
  EXPECT_EQ(describe(at::zeros({}, at::kLong)), "Long [] on cpu");
  EXPECT_EQ(describe({}), "no tensor");
  EXPECT_EQ(shape_text({2, 0}), "[2, 0]");
}

TEST(Shape, AMismatchShowsAxesAndBothSides) {
  EXPECT_NO_THROW(require_shape("ema", "q", at::zeros({4, 2}), "[D, N]", {4, 2}));
  EXPECT_NO_THROW(require_shape("ema", "q", at::zeros({4, 2}), "[D, N]", {-1, 2}));
  const auto message = message_of<InvalidArgument>([] { require_shape("ema", "q", at::zeros({4, 3}), "[D, N]", {-1, 2}); });
  EXPECT_EQ(message, "[ema] expected q [D, N] = [any, 2], got Float [4, 3] on cpu.");
  EXPECT_NE(message_of<InvalidArgument>([] { require_shape("ema", "q", {}, "[D]", {2}); }).find("no tensor"), std::string::npos);
  EXPECT_THROW(require_shape("ema", "q", at::zeros({4}), "[D, N]", {4, 1}), InvalidArgument);
}

TEST(View, OnlyWhatIsOfAnotherTypeIsConverted) {
  const at::Tensor base = at::ones({2});
  EXPECT_TRUE(as_dtype(base, at::kFloat).is_same(base));
  EXPECT_EQ(as_dtype(base, at::kDouble).scalar_type(), at::kDouble);
  EXPECT_FALSE(as_dtype({}, at::kDouble).defined());
}

TEST(View, APlainViewIsTheSameMemory) {
  const at::NoGradGuard no_grad;
  const at::Tensor base = at::arange(60, at::kFloat).view({3, 4, 5}), part = base.narrow(0, 1, 2);
  const at::Tensor narrowed = plain_narrow(part, 1, 1, 2);
  EXPECT_TRUE(testing::all_equal(narrowed, part.narrow(1, 1, 2)));
  EXPECT_EQ(narrowed.strides(), part.narrow(1, 1, 2).strides());
  EXPECT_TRUE(testing::all_equal(plain_view(part, {2, 2}, {20, 3}), part.as_strided({2, 2}, {20, 3})));
  narrowed.fill_(-1);
  EXPECT_EQ(base[1][1][0].item<float>(), -1);
  EXPECT_EQ(base[1][0][4].item<float>(), 24);
  EXPECT_TRUE(narrowed.is_alias_of(base));
}

TEST(View, AGradientFindsItsWayThroughANarrowedTensor) {
  const at::Tensor base = at::zeros({3, 4}).requires_grad_();
  plain_narrow(base, 1, 1, 2).sum().backward();
  EXPECT_TRUE(testing::all_equal(base.grad(), at::tensor({0.0f, 1.0f, 1.0f, 0.0f}).expand({3, 4})));
}

TEST(View, WhatIsNotThereIsRefused) {
  const at::NoGradGuard no_grad;
  const at::Tensor base = at::zeros({3, 4});
  EXPECT_ANY_THROW((void)plain_narrow(base, 1, 3, 2));
  EXPECT_ANY_THROW((void)plain_narrow(base, 1, -1, 2));
  EXPECT_ANY_THROW((void)plain_narrow(base, 2, 0, 1));
}

TEST(Device, WordsForDevices) {
  EXPECT_EQ(resolve_device("cpu"), at::Device(at::kCPU));
  EXPECT_EQ(resolve_device("auto").is_cuda(), cuda_available());
  EXPECT_NE(message_of<InvalidArgument>([] { static_cast<void>(resolve_device("gpu")); }).find("auto, cpu or cuda"), std::string::npos);
  EXPECT_NE(message_of<InvalidArgument>([] { static_cast<void>(resolve_device("")); }).find("auto, cpu or cuda"), std::string::npos);
  if (!cuda_available()) {
    EXPECT_NE(message_of<Unsupported>([] { static_cast<void>(resolve_device("cuda")); }).find("--device cpu"), std::string::npos);
  }
}

TEST(Dtype, WordsForDtypes) {
  EXPECT_EQ(resolve_dtype("f32"), at::kFloat);
  EXPECT_EQ(resolve_dtype("bf16"), at::kBFloat16);
  EXPECT_EQ(resolve_dtype("f64"), at::kDouble);
  for (const auto* name : {"f32", "bf16", "f64"}) EXPECT_EQ(dtype_name(resolve_dtype(name)), name);
  EXPECT_NE(message_of<Unsupported>([] { static_cast<void>(resolve_dtype("f16")); }).find("bf16"), std::string::npos);
  EXPECT_THROW(static_cast<void>(resolve_dtype("float32")), InvalidArgument);
  EXPECT_EQ(accumulate_dtype(at::kBFloat16), at::kFloat);
  EXPECT_EQ(accumulate_dtype(at::kFloat), at::kFloat);
  EXPECT_EQ(accumulate_dtype(at::kDouble), at::kDouble);
}

/// What a two-layer network with dropout gives: its output and the gradients of input and weights.
struct Outcome {
  at::Tensor output, input_gradient, weight_gradient;
  int forward_runs = 0, again_runs = 0;
};

Outcome run_network(bool checkpointed, double dropout, bool input_needs_gradient = true) {
  at::manual_seed(3);
  const at::Tensor x = at::randn({6, 5}, at::kDouble).requires_grad_(input_needs_gradient),
                   weight = at::randn({5, 5}, at::kDouble).requires_grad_(true);
  Outcome run;
  const auto body = [&run, weight, dropout](const at::Tensor& input, bool again) {
    ++(again ? run.again_runs : run.forward_runs);
    return at::dropout(at::tanh(at::matmul(at::dropout(input, dropout, true), weight)), dropout, true);
  };
  at::Tensor hidden = x;
  for (int layer = 0; layer < 2; ++layer) hidden = checkpointed ? run_checkpointed(hidden, body) : body(hidden, false);
  const at::Tensor noise = at::randn({6, 5}, at::kDouble);  // drawn between forward and backward: the replay must not disturb it
  (hidden * noise).sum().backward();
  run.output = hidden.detach();
  run.input_gradient = x.grad();
  run.weight_gradient = weight.grad();
  return run;
}

TEST(ActivationCheckpointing, GivesTheSameGradientsWithAndWithoutDropout) {
  for (const double dropout : {0.0, 0.4}) {
    const Outcome plain = run_network(false, dropout), again = run_network(true, dropout);
    EXPECT_TRUE(all_equal(again.output, plain.output)) << dropout;
    EXPECT_TRUE(all_equal(again.input_gradient, plain.input_gradient)) << dropout;
    EXPECT_TRUE(all_equal(again.weight_gradient, plain.weight_gradient)) << dropout;
    EXPECT_EQ(again.forward_runs, 2);
    EXPECT_EQ(again.again_runs, 2);
    EXPECT_EQ(plain.again_runs, 0);
  }
}

TEST(ActivationCheckpointing, ParametersLearnEvenIfTheInputNeedsNoGradient) {
  const Outcome plain = run_network(false, 0.3, false), again = run_network(true, 0.3, false);
  EXPECT_FALSE(again.input_gradient.defined());
  EXPECT_TRUE(all_equal(again.weight_gradient, plain.weight_gradient));
}

TEST(ActivationCheckpointing, TheReplayLeavesTheGeneratorWhereItWas) {
  const auto next_number = [](bool checkpointed) {
    run_network(checkpointed, 0.5);
    return at::rand({4});
  };
  EXPECT_TRUE(all_equal(next_number(true), next_number(false)));
}

TEST(ActivationCheckpointing, SpanBySpanTheGradientsAreThoseOfTheWhole) {
  at::manual_seed(3);
  const at::Tensor x = at::randn({2, 6, 4}, at::kDouble).requires_grad_(true), weight = at::randn({4, 4}, at::kDouble).requires_grad_(true);
  int finished = 0;
  const auto gradients = [&](std::vector<TokenSpan> spans) {
    const auto prepare = [&](const at::Tensor& input, bool) {
      return std::vector<at::Tensor>{input, at::tanh(input).cumsum(1), at::ones_like(input)};
    };
    const auto finish = [&](const std::vector<at::Tensor>& parts, size_t, bool) {
      ++finished;
      return at::matmul(parts[0] * at::rand({1}, at::kDouble), weight) * parts[1];  // leaves parts[2] unread
    };
    at::manual_seed(7);
    const at::Tensor y = run_checkpointed(x, SpanwiseBody{.prepare = prepare, .finish = finish, .spans = std::move(spans)});
    x.mutable_grad() = weight.mutable_grad() = at::Tensor();
    (y * at::rand({2, 6, 4}, at::kDouble)).sum().backward();
    return std::vector<at::Tensor>{y.detach(), x.grad(), weight.grad()};
  };
  const auto whole = gradients({}), by_span = gradients({{0, 1, 0, 4}, {0, 1, 4, 2}, {1, 1, 0, 6}});
  EXPECT_EQ(finished, 2 + 6);
  for (size_t i = 0; i < whole.size(); ++i) EXPECT_TRUE(at::allclose(by_span[i], whole[i], 1e-13, 1e-13)) << i;
}

TEST(ActivationCheckpointing, WithoutGradientsTheBodyRunsOnce) {
  const at::NoGradGuard no_grad;
  int runs = 0;
  const at::Tensor y = run_checkpointed(at::ones({2}), [&](const at::Tensor& x, bool again) {
    EXPECT_FALSE(again);
    ++runs;
    return x * 2;
  });
  EXPECT_EQ(runs, 1);
  EXPECT_FALSE(y.requires_grad());
}

TEST(ActivationCheckpointing, AnErrorInTheBodyReachesTheCaller) {
  const auto failing = [](const at::Tensor& x, bool again) -> at::Tensor {
    if (again) throw InvalidArgument({.where = "body", .expected = "one run"});
    return x * 2;
  };
  const at::Tensor y = run_checkpointed(at::ones({2}).requires_grad_(true), failing);
  EXPECT_ANY_THROW(y.sum().backward());
}

}  // namespace
}  // namespace everlong
