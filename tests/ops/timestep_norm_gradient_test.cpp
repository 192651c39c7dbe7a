#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "everlong/ops/timestep_norm/timestep_norm.h"
#include "tests/ops/timestep_norm_cases.h"
#include "tests/support/torch/gradcheck.h"
#include "tests/support/torch/poison.h"

namespace everlong::ops {
namespace {

using testing::all_close;
using testing::gradcheck;
using testing::PoisonAllocations;
using testing::tolerance_for;

/// Compares the kernel's gradients with those of the reference in fp64.
void expect_exact_gradients(const NormCase& in, const TimestepNormOptions& options, bool with_dstate) {
  at::manual_seed(5);
  const auto dtype = in.x.scalar_type();
  const at::Tensor dy = at::randn(in.x.sizes()).to(dtype);
  const TimestepNormState dstate = with_dstate ? random_dstate(in) : TimestepNormState{};
  const auto expected = exact_gradients(in, options, dy, dstate);
  const PoisonAllocations poison;
  const auto actual = norm_gradients(in, options, dy, dstate);
  const int64_t tokens = in.x.size(0) * in.x.size(1);
  EXPECT_TRUE(all_close(actual.x, expected.x, tolerance_for(in.terms(), at::kFloat, dtype))) << "dx";
  EXPECT_TRUE(all_close(actual.weight, expected.weight, tolerance_for(tokens, at::kFloat))) << "dweight";
  EXPECT_TRUE(all_close(actual.bias, expected.bias, tolerance_for(tokens, at::kFloat))) << "dbias";
  EXPECT_TRUE(all_close(actual.mean, expected.mean, tolerance_for(in.terms() + tokens, at::kFloat))) << "dmean";
  EXPECT_TRUE(all_close(actual.variance, expected.variance, tolerance_for(in.terms() + tokens, at::kFloat))) << "dvariance";
}

TEST(TimestepNormGradient, EqualsTheReferencesAtEveryRaggedSize) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t num_groups : {1, 5, 33}) {
      for (const int64_t width : {2, 3, 4, 7, 16, 24, 47}) {
        for (const int64_t seq_len : {1, 17, 130}) {
          if (num_groups > 5 && seq_len > 17) continue;
          SCOPED_TRACE(::testing::Message() << dtype << " T " << seq_len << " G " << num_groups << " D/G " << width);
          auto in = random_norm_case({2, seq_len, num_groups * width}, num_groups, dtype);
          in.state.count.add_(2);
          expect_exact_gradients(in, {}, seq_len == 17);
        }
      }
    }
  }
}

TEST(TimestepNormGradient, EqualsTheReferencesWithRestartsLengthsMasksAndCaps) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t seq_len : {1, 20, 300}) {
      for (const int64_t cap : {0, 5}) {
        for (const bool with_dstate : {false, true}) {
          SCOPED_TRACE(::testing::Message() << dtype << " T " << seq_len << " cap " << cap << " dstate " << with_dstate);
          const auto in = random_norm_case({4, seq_len, 27}, 3, dtype);
          const auto restart = norm_restarts(4, seq_len), mask = holed_mask(4, seq_len), lengths = norm_lengths(4, seq_len);
          expect_exact_gradients(in, {.restart = restart, .count_cap = cap}, with_dstate);
          expect_exact_gradients(in, {.lengths = lengths, .count_cap = cap}, with_dstate);
          expect_exact_gradients(in, {.restart = restart, .lengths = lengths, .mask = mask, .count_cap = cap}, with_dstate);
        }
      }
    }
  }
}

TEST(TimestepNormGradient, IsWhatCentralDifferencesSay) {
  auto in = random_norm_case({2, 9, 6}, 2, at::kDouble);
  auto restart = at::zeros({2, 9}, at::kBool), mask = at::ones({2, 9}, at::kBool);
  restart.index_put_({at::tensor(1), at::tensor(5)}, true);
  mask.index_put_({at::tensor(0), at::tensor(3)}, false);
  in.state.count.add_(1);
  for (const int64_t cap : {0, 4}) {
    EXPECT_TRUE(gradcheck(
        [&](const auto& inputs) {
          const auto result = timestep_norm(inputs[0], inputs[1], inputs[2], 2,
                                            {.state = TimestepNormState{in.state.count, inputs[3], inputs[4]},
                                             .restart = restart,
                                             .lengths = at::tensor({int64_t{7}, int64_t{9}}),
                                             .mask = mask,
                                             .count_cap = cap});
          return std::vector{result.output, result.state.mean, result.state.variance};
        },
        {{"x", in.x}, {"weight", in.weight}, {"bias", in.bias}, {"mean", in.state.mean}, {"variance", in.state.variance}}));
  }
}

TEST(TimestepNormGradient, OfTheKernelIsWhatCentralDifferencesSay) {
  auto in = random_norm_case({2, 12, 24}, 3, at::kDouble);
  in.state.count.add_(1);
  const auto through_kernel = [&](const auto& inputs) {
    const auto single = [](const at::Tensor& tensor) { return tensor.to(at::kFloat); };
    const auto result =
        timestep_norm(single(inputs[0]), single(inputs[1]), single(inputs[2]), 3, {.state = TimestepNormState{in.state.count, inputs[3], inputs[4]}});
    return std::vector{result.output.to(at::kDouble), result.state.mean, result.state.variance};
  };
  EXPECT_TRUE(gradcheck(through_kernel,
                        {{"x", in.x}, {"weight", in.weight}, {"bias", in.bias}, {"mean", in.state.mean}, {"variance", in.state.variance}},
                        {.step = 1e-3, .tolerance = 2e-3}));
}

/// dx and the gradients of the incoming state by two reverse cumulative sums over time, from moments about the incoming mean.
NormGradients closed_form(const NormCase& in, const at::Tensor& dy, const TimestepNormState& dstate, double eps) {
  const int64_t batch_size = in.x.size(0), seq_len = in.x.size(1), num_groups = in.num_groups, width = in.x.size(2) / num_groups;
  const auto tail_sum = [](const at::Tensor& v) { return v.flip(1).cumsum(1).flip(1); };
  const at::Tensor anchor = in.state.mean.unsqueeze(1);
  const at::Tensor x = in.x.view({batch_size, seq_len, num_groups, width}) - anchor.unsqueeze(-1),
                   n0 = in.state.count.to(at::kDouble).view({-1, 1, 1});
  const at::Tensor n = n0 + at::arange(1, seq_len + 1, at::kDouble).view({1, -1, 1});
  const at::Tensor m = x.mean(-1).cumsum(1) / n, e2 = (n0 * in.state.variance.unsqueeze(1) + x.square().mean(-1).cumsum(1)) / n;
  const at::Tensor r = (e2 - m.square() + eps).rsqrt();
  const at::Tensor g = (dy * (in.weight + 1)).view(x.sizes());
  at::Tensor dv = -0.5 * r.pow(3) * (g * (x - m.unsqueeze(-1))).sum(-1), du = -r * g.sum(-1);
  dv.select(1, seq_len - 1).add_(dstate.variance);
  du.select(1, seq_len - 1).add_(dstate.mean);
  const at::Tensor r2 = tail_sum(dv / n), r1 = tail_sum((du - 2 * m * dv) / n);
  const at::Tensor dx = g * r.unsqueeze(-1) + (r1.unsqueeze(-1) + 2 * x * r2.unsqueeze(-1)) / width;
  const at::Tensor first = in.state.count.to(at::kDouble).unsqueeze(-1);
  return {dx.reshape(in.x.sizes()), {}, {}, first * r1.select(1, 0), first * r2.select(1, 0)};
}

TEST(MegalodonAcceptance, Line03ClosedFormAndSequentialBackwardAgree) {
  for (const auto dtype : {at::kDouble, at::kFloat}) {
    const auto in = random_norm_case({3, 200, 24}, 3, dtype);
    const auto dy = at::randn(in.x.sizes()).to(dtype);
    const auto dstate = random_dstate(in);
    const auto expected = closed_form(in_fp64(in), dy.to(at::kDouble), dstate, 1e-5);
    const auto actual = norm_gradients(in, {}, dy, dstate);
    EXPECT_TRUE(all_close(actual.x, expected.x, tolerance_for(200, dtype)));
    EXPECT_TRUE(all_close(actual.mean, expected.mean, tolerance_for(200, dtype)));
    EXPECT_TRUE(all_close(actual.variance, expected.variance, tolerance_for(200, dtype)));
  }
}

TEST(MegalodonAcceptance, Line03NothingReadsPaddingNorItsGradient) {
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kDouble}) {
    auto in = random_norm_case({4, 60, 24}, 3, dtype);
    const auto mask = holed_mask(4, 60), lengths = norm_lengths(4, 60);
    const at::Tensor valid = at::logical_and(mask, at::arange(60).unsqueeze(0) < lengths.unsqueeze(-1)).unsqueeze(-1);
    at::Tensor dy = at::randn(in.x.sizes()).to(dtype);
    const auto clean = norm_gradients(in, {.lengths = lengths, .mask = mask}, dy, random_dstate(in));
    in.x.masked_fill_(valid.logical_not(), NAN);
    dy.masked_fill_(valid.logical_not(), NAN);
    at::manual_seed(1);
    const auto dstate = random_dstate(in);
    const auto gradients = norm_gradients(in, {.lengths = lengths, .mask = mask}, dy, dstate);
    EXPECT_TRUE(gradients.x.masked_select(valid.logical_not()).eq(0).all().item<bool>());
    EXPECT_EQ(clean.x.eq(0).sum().item<int64_t>(), gradients.x.eq(0).sum().item<int64_t>());
    for (const at::Tensor& gradient : {gradients.x, gradients.weight, gradients.bias, gradients.mean, gradients.variance})
      EXPECT_TRUE(gradient.isfinite().all().item<bool>());
    EXPECT_TRUE(testing::all_equal(gradients.mean[0], dstate.mean[0]));  // a row of padding hands the gradient on
    EXPECT_TRUE(testing::all_equal(gradients.variance[0], dstate.variance[0]));
  }
}

TEST(TimestepNormGradient, ARestartCutsTheIncomingStateAndAFreshOneHasNone) {
  auto in = random_norm_case({2, 10, 6}, 2);
  in.state.count.fill_(5);
  auto restart = at::zeros({2, 10}, at::kBool);
  restart.index_put_({at::tensor(0), at::tensor(0)}, true);
  const auto gradients = norm_gradients(in, {.restart = restart}, at::randn_like(in.x), random_dstate(in));
  EXPECT_TRUE(gradients.mean[0].eq(0).all().item<bool>());
  EXPECT_TRUE(gradients.variance[0].eq(0).all().item<bool>());
  EXPECT_TRUE(gradients.mean[1].ne(0).all().item<bool>());
  in.state.count.fill_(0);
  in.state.mean.fill_(NAN);
  const auto fresh = norm_gradients(in, {}, at::randn_like(in.x), {});
  EXPECT_TRUE(fresh.mean.eq(0).all().item<bool>());
  EXPECT_TRUE(fresh.x.isfinite().all().item<bool>());
}

TEST(TimestepNormGradient, FlowsAcrossTwoCallsAsThroughOne) {
  const auto in = random_norm_case({2, 40, 24}, 3);
  const auto dy = at::randn(in.x.sizes());
  const auto whole = in.x.clone().requires_grad_(true), parted = in.x.clone().requires_grad_(true);
  timestep_norm(whole, in.weight, in.bias, 3).output.backward(dy);
  const auto first = timestep_norm(parted.narrow(1, 0, 15), in.weight, in.bias, 3);
  const auto second = timestep_norm(parted.narrow(1, 15, 25), in.weight, in.bias, 3, {.state = first.state});
  at::cat({first.output, second.output}, 1).backward(dy);
  EXPECT_TRUE(all_close(parted.grad(), whole.grad(), tolerance_for(in.terms(), at::kFloat)));
}

TEST(TimestepNormGradient, FlowsThroughTheStateAloneAndThroughAnExpandedOutputGradient) {
  const auto in = random_norm_case({2, 30, 12}, 3);
  const auto state_only = [](auto function, const NormCase& from) {
    const auto x = from.x.detach().clone().requires_grad_(true);
    const auto state = function(x, from.weight, from.bias, 3, TimestepNormOptions{}).state;
    (state.mean.sum() + state.variance.sum()).backward();
    return x.grad();
  };
  EXPECT_TRUE(all_close(state_only(timestep_norm, in), state_only(timestep_norm_reference, in_fp64(in)), tolerance_for(30, at::kFloat)));
  const auto output_sum = [](auto function, const NormCase& from) {
    const auto weight = from.weight.detach().clone().requires_grad_(true);
    function(from.x, weight, from.bias, 3, TimestepNormOptions{}).output.sum().backward();
    return weight.grad();
  };
  EXPECT_TRUE(all_close(output_sum(timestep_norm, in), output_sum(timestep_norm_reference, in_fp64(in)), tolerance_for(60, at::kFloat)));
}

TEST(TimestepNormGradient, ReachesParametersInTheirOwnDtype) {
  const auto in = random_norm_case({2, 30, 12}, 3, at::kBFloat16);
  const auto weight = in.weight.to(at::kBFloat16).requires_grad_(true);
  timestep_norm(in.x, weight, in.bias, 3).output.sum().backward();
  EXPECT_EQ(weight.grad().scalar_type(), at::kBFloat16);
  EXPECT_FALSE(in.run().output.requires_grad());
}

}  // namespace
}  // namespace everlong::ops
