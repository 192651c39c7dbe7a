#include "everlong/ops/gates/gates.h"

#include <cmath>
#include <functional>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/tensor/torch.h"
#include "tests/support/torch/gradcheck.h"
#include "tests/support/torch/poison.h"
#include "tests/support/torch/tolerance.h"

namespace everlong::ops {
namespace {

using testing::all_close;
using testing::all_equal;
using testing::PoisonAllocations;
using testing::tolerance_for;

using Function = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

/// An op, its reference, and which of its arguments are vectors (the rest are [B, T, W]).
struct Gate {
  std::string name;
  size_t arguments;
  size_t weights;  ///< the last so many arguments are [W] fp32
  Function op, reference;
  bool scalar_weight = false;
};

std::vector<Gate> all_gates() {
  using Args = std::vector<at::Tensor>;
  const DropoutSpec drops{.p = 0.3, .seed = 77};
  return {{"dropout", 1, 0, [=](const Args& a) { return dropout(a[0], drops); }, [=](const Args& a) { return dropout_reference(a[0], drops); }},
          {"dropout_residual", 2, 0, [=](const Args& a) { return dropout(a[0], drops, a[1]); },
           [=](const Args& a) { return dropout_reference(a[0], drops, a[1]); }},
          {"silu_residual_dropout", 3, 1, [=](const Args& a) { return silu_residual(a[0], a[1], a[2], drops); },
           [=](const Args& a) { return silu_residual_reference(a[0], a[1], a[2], drops); }},
          {"gated_update_dropout", 4, 0, [=](const Args& a) { return gated_update(a[0], a[1], a[2], a[3], drops); },
           [=](const Args& a) { return gated_update_reference(a[0], a[1], a[2], a[3], drops); }},
          {"silu_mul", 2, 0, [](const Args& a) { return silu_mul(a[0], a[1]); }, [](const Args& a) { return silu_mul_reference(a[0], a[1]); }},
          {"silu_residual", 3, 1, [](const Args& a) { return silu_residual(a[0], a[1], a[2]); },
           [](const Args& a) { return silu_residual_reference(a[0], a[1], a[2]); }},
          {"gated_update", 4, 0, [](const Args& a) { return gated_update(a[0], a[1], a[2], a[3]); },
           [](const Args& a) { return gated_update_reference(a[0], a[1], a[2], a[3]); }},
          {"rms_norm", 2, 1, [](const Args& a) { return rms_norm(a[0], a[1], 1e-5); }, [](const Args& a) { return rms_norm_reference(a[0], a[1], 1e-5); }},
          {"rms_norm_scalar", 2, 1, [](const Args& a) { return rms_norm(a[0], a[1], 1e-5); },
           [](const Args& a) { return rms_norm_reference(a[0], a[1], 1e-5); }, true},
          {"rms_norm_plain", 1, 0, [](const Args& a) { return rms_norm(a[0], {}, 1e-5); }, [](const Args& a) { return rms_norm_reference(a[0], {}, 1e-5); }}};
}

/// Random arguments. With `sliced`, the matrices are slices of wider ones, as projections hand them over.
std::vector<at::Tensor> arguments_of(const Gate& gate, int64_t rows, int64_t width, at::ScalarType dtype, bool sliced) {
  at::manual_seed(3);
  std::vector<at::Tensor> made;
  for (size_t i = 0; i < gate.arguments; ++i) {
    const bool weight = i + gate.weights >= gate.arguments;
    if (weight) {
      made.push_back(at::randn({gate.scalar_weight ? 1 : width}, dtype == at::kDouble ? at::kDouble : at::kFloat));
    } else if (sliced) {
      made.push_back((at::randn({2, rows, width + 7}) * 2).to(dtype).narrow(2, 3, width));
    } else {
      made.push_back((at::randn({2, rows, width}) * 2).to(dtype));
    }
  }
  return made;
}

struct Results {
  at::Tensor output;
  std::vector<at::Tensor> gradients;
};

Results run(const Function& function, const std::vector<at::Tensor>& arguments, const at::Tensor& dy, at::ScalarType dtype) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& argument : arguments) {
    const bool weight = argument.dim() == 1;
    leaves.push_back(argument.detach().to(weight && dtype != at::kDouble ? at::kFloat : dtype).requires_grad_(true));
  }
  Results results{.output = function(leaves), .gradients = {}};
  results.output.backward(dy.to(results.output.scalar_type()));
  results.output = results.output.detach();
  for (const at::Tensor& leaf : leaves) results.gradients.push_back(leaf.grad());
  return results;
}

TEST(Gates, KernelsEqualTheirEquationsForwardAndBackward) {
  for (const Gate& gate : all_gates())
    for (const auto dtype : {at::kFloat, at::kBFloat16})
      for (const int64_t width : {1, 5, 16, 17, 64, 257})
        for (const int64_t rows : {1, 3, 130, 300})
          for (const bool sliced : {false, true}) {
            if (gate.name.starts_with("rms_norm") && width == 1) continue;  // the exact gradient is nothing but cancellation: x / |x| is constant
            SCOPED_TRACE(::testing::Message() << gate.name << " " << dtype << " rows " << rows << " width " << width << " sliced " << sliced);
            const auto arguments = arguments_of(gate, rows, width, dtype, sliced);
            const at::Tensor dy = at::randn({2, rows, width}).to(dtype);
            const Results expected = run(gate.reference, arguments, dy, at::kDouble);
            const PoisonAllocations poison;
            const Results actual = run(gate.op, arguments, dy, dtype);
            EXPECT_TRUE(all_close(actual.output, expected.output, tolerance_for(width, at::kFloat, dtype)));
            for (size_t i = 0; i < arguments.size(); ++i) {
              auto tolerance = tolerance_for(2 * rows * width, at::kFloat, actual.gradients[i].scalar_type());
              // A single sum of signed terms of order one may come out near zero: its error is measured against the size of a random walk.
              if (gate.scalar_weight && arguments[i].dim() == 1) tolerance.absolute = tolerance.relative * std::sqrt(2.0 * static_cast<double>(rows * width));
              EXPECT_TRUE(all_close(actual.gradients[i], expected.gradients[i], tolerance)) << "argument " << i;
            }
          }
}

TEST(Gates, ReferencesHaveTheGradientsOfTheirFunctions) {
  for (const Gate& gate : all_gates()) {
    std::vector<testing::NamedInput> inputs;
    const auto arguments = arguments_of(gate, 2, 5, at::kDouble, false);
    for (size_t i = 0; i < arguments.size(); ++i) inputs.push_back({std::to_string(i), arguments[i]});
    EXPECT_TRUE(testing::gradcheck([&](const std::vector<at::Tensor>& given) { return std::vector<at::Tensor>{gate.reference(given)}; }, inputs)) << gate.name;
  }
}

TEST(Gates, ResultsDoNotDependOnTheNumberOfThreads) {
  const int before = at::get_num_threads();
  for (const Gate& gate : all_gates()) {
    const auto arguments = arguments_of(gate, 700, 48, at::kFloat, false);
    const at::Tensor dy = at::randn({2, 700, 48});
    at::set_num_threads(1);
    const Results one = run(gate.op, arguments, dy, at::kFloat);
    at::set_num_threads(2);
    const Results two = run(gate.op, arguments, dy, at::kFloat);
    EXPECT_TRUE(all_equal(one.output, two.output)) << gate.name;
    for (size_t i = 0; i < one.gradients.size(); ++i) EXPECT_TRUE(all_equal(one.gradients[i], two.gradients[i])) << gate.name << " argument " << i;
  }
  at::set_num_threads(before);
}

TEST(Gates, ExtremeGatesSaturateWithoutNan) {
  const at::Tensor far = at::tensor({-1e4F, -100.0F, 0.0F, 100.0F, 1e4F}).view({1, 5}), x = at::ones({1, 5});
  EXPECT_TRUE(all_close(gated_update(x, far, at::zeros({1, 5}), at::zeros({1, 5})), at::tensor({1.0, 1.0, 0.5, 0.0, 0.0}).view({1, 5}), {.absolute = 1e-7}));
  EXPECT_TRUE(all_close(silu_mul(x, far), at::tensor({0.0, 0.0, 0.0, 100.0, 1e4}).view({1, 5}), {.relative = 1e-6}));
}

TEST(Gates, DisagreeingArgumentsAreRefused) {
  const at::Tensor a = at::ones({2, 4}), b = at::ones({2, 5});
  EXPECT_THROW(static_cast<void>(silu_mul(a, b)), InvalidArgument);
  EXPECT_THROW(static_cast<void>(silu_mul(a, a.to(at::kDouble))), InvalidArgument);
  EXPECT_THROW(static_cast<void>(silu_residual(a, a, at::ones({5}))), InvalidArgument);
  EXPECT_THROW(static_cast<void>(gated_update(a, a, a, b)), InvalidArgument);
  EXPECT_THROW(static_cast<void>(rms_norm(a, at::ones({3}), 1e-5)), InvalidArgument);
}

TEST(GateDropout, DropsTheShareItSaysAndNoRowLikeAnother) {
  const at::Tensor x = at::ones({400, 1000});
  for (const double p : {0.1, 0.5, 0.9}) {
    const at::Tensor kept = dropout(x, {.p = p, .seed = 5}).ne(0).to(at::kDouble);
    const double deviation = std::sqrt(p * (1 - p));
    EXPECT_NEAR(kept.mean().item<double>(), 1 - p, 4 * deviation / std::sqrt(4e5));
    EXPECT_LT((kept.mean(0) - (1 - p)).abs().max().item<double>(), 5 * deviation / 20);    // columns, of 400 rows
    EXPECT_LT((kept.mean(1) - (1 - p)).abs().max().item<double>(), 5 * deviation / 31.6);  // rows, of 1000 columns
    const at::Tensor centred = kept - (1 - p);
    const auto correlation = [&](const at::Tensor& a, const at::Tensor& b) { return std::abs((a * b).mean().item<double>()) / (p * (1 - p)); };
    EXPECT_LT(correlation(centred.narrow(0, 0, 399), centred.narrow(0, 1, 399)), 5 / std::sqrt(4e5));
    EXPECT_LT(correlation(centred.narrow(1, 0, 999), centred.narrow(1, 1, 999)), 5 / std::sqrt(4e5));
    const at::Tensor other = dropout(x, {.p = p, .seed = 6}).ne(0).to(at::kDouble) - (1 - p);
    EXPECT_LT(correlation(centred, other), 5 / std::sqrt(4e5));
  }
}

TEST(GateDropout, TheSeedDecidesAndNothingElse) {
  const at::Tensor x = at::randn({64, 33});
  EXPECT_TRUE(all_equal(dropout(x, {.p = 0.5, .seed = 1}), dropout(x, {.p = 0.5, .seed = 1})));
  EXPECT_FALSE(all_equal(dropout(x, {.p = 0.5, .seed = 1}), dropout(x, {.p = 0.5, .seed = 2})));
  EXPECT_TRUE(all_equal(dropout(x, {}), x));
  EXPECT_THROW(static_cast<void>(dropout(x, {.p = 1.0})), InvalidArgument);
  EXPECT_THROW(static_cast<void>(dropout(x, {.p = 0.1}, at::zeros({64, 32}))), InvalidArgument);
}

}  // namespace
}  // namespace everlong::ops
