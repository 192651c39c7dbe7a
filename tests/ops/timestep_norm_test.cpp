#include "everlong/ops/timestep_norm/timestep_norm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "tests/ops/timestep_norm_cases.h"
#include "tests/support/torch/poison.h"

namespace everlong::ops {
namespace {

using testing::all_close;
using testing::all_equal;
using testing::PoisonAllocations;
using testing::tolerance_for;

void expect_equal_states(const TimestepNormState& actual, const TimestepNormState& expected) {
  EXPECT_TRUE(all_equal(actual.count, expected.count));
  EXPECT_TRUE(all_equal(actual.mean, expected.mean));
  EXPECT_TRUE(all_equal(actual.variance, expected.variance));
}

/// Runs `timestep_norm` with poisoned allocations and compares with fp64.
void expect_exact(const NormCase& in, const TimestepNormOptions& options) {
  const auto expected = exact(in, options);
  const PoisonAllocations poison;
  const auto actual = in.run(options);
  EXPECT_TRUE(all_close(actual.output, expected.output, tolerance_for(in.terms(), at::kFloat, in.x.scalar_type())));
  EXPECT_TRUE(all_equal(actual.state.count, expected.state.count));
  const double largest = in.x.abs().max().item<double>();  // means cancel
  EXPECT_TRUE(all_close(actual.state.mean, expected.state.mean, {.absolute = largest * tolerance_for(in.terms(), at::kFloat).relative}));
  EXPECT_TRUE(all_close(actual.state.variance, expected.state.variance, tolerance_for(in.terms(), at::kFloat)));
  EXPECT_EQ(actual.output.scalar_type(), in.x.scalar_type());
  EXPECT_EQ(actual.state.mean.scalar_type(), at::kDouble);
}

TEST(TimestepNorm, EqualsItsEquationAtEveryRaggedSize) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t num_groups : {1, 2, 5, 33}) {
      for (const int64_t width : {1, 2, 3, 4, 7, 8, 15, 16, 24, 47, 64}) {
        for (const int64_t seq_len : {1, 2, 17, 130}) {
          if (num_groups > 5 && seq_len > 17) continue;
          SCOPED_TRACE(::testing::Message() << dtype << " T " << seq_len << " G " << num_groups << " D/G " << width);
          const auto in = random_norm_case({2, seq_len, num_groups * width}, num_groups, dtype);
          expect_exact(in, {});
          expect_exact(in, {.state = in.state});
        }
      }
    }
  }
}

TEST(TimestepNorm, ManyGroupsAndWideGroupsArePassedInBlocks) {
  expect_exact(random_norm_case({1, 5, 2200}, 1100), {});
  expect_exact(random_norm_case({2, 70, 1203}, 1), {});
  expect_exact(random_norm_case({1, 9, 3100}, 2, at::kBFloat16), {});
}

TEST(TimestepNorm, RestartsLengthsMasksAndCapsCombine) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t seq_len : {1, 3, 20, 129, 300}) {
      for (const int64_t cap : {0, 1, 5}) {
        SCOPED_TRACE(::testing::Message() << dtype << " T " << seq_len << " cap " << cap);
        const auto in = random_norm_case({4, seq_len, 27}, 3, dtype);
        const auto restart = norm_restarts(4, seq_len), mask = holed_mask(4, seq_len), lengths = norm_lengths(4, seq_len);
        expect_exact(in, {.state = in.state, .restart = restart, .count_cap = cap});
        expect_exact(in, {.state = in.state, .lengths = lengths, .count_cap = cap});
        expect_exact(in, {.state = in.state, .restart = restart, .mask = mask, .count_cap = cap});
        expect_exact(in, {.restart = restart, .lengths = lengths, .mask = mask, .count_cap = cap});
      }
    }
  }
}

TEST(MegalodonAcceptance, Line03TimestepNormEqualsGroupNormOverThePrefix) {
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const auto in = random_norm_case({2, 40, 24}, 3, dtype);
    const auto output = in.run().output;
    for (const int64_t t : {0, 1, 7, 39}) {
      const at::Tensor prefix = in.x.narrow(1, 0, t + 1).to(at::kDouble).view({2, t + 1, 3, 8});
      const at::Tensor mean = prefix.mean(at::IntArrayRef{1, 3}, true), variance = prefix.var(at::IntArrayRef{1, 3}, false, true);
      const at::Tensor y = ((prefix - mean) / (variance + 1e-5).sqrt()).select(1, t).reshape({2, 24}) * (in.weight + 1) + in.bias;
      EXPECT_TRUE(all_close(output.select(1, t), y, tolerance_for(in.terms(), dtype)));
    }
  }
}

TEST(MegalodonAcceptance, Line03TheFirstTokenIsFiniteWhateverAStateThatHasSeenNothingHolds) {
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    auto in = random_norm_case({2, 5, 12}, 3, dtype);
    in.state = {at::zeros({2}, at::kLong), at::full({2, 3}, NAN, at::kDouble), at::full({2, 3}, INFINITY, at::kDouble)};
    const auto with_state = in.run({.state = in.state}), without = in.run();
    EXPECT_TRUE(with_state.output.isfinite().all().item<bool>());
    EXPECT_TRUE(all_equal(with_state.output, without.output));
    expect_equal_states(with_state.state, without.state);
  }
}

TEST(MegalodonAcceptance, Line03ConstantInputGivesTheBiasOnly) {
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kDouble}) {
    auto in = random_norm_case({2, 20, 12}, 3, dtype);
    in.x.fill_(3.7);
    const auto result = in.run();
    EXPECT_TRUE(all_equal(result.output, in.bias.to(dtype).expand({2, 20, 12})));
    EXPECT_TRUE(result.state.variance.eq(0).all().item<bool>());
  }
}

TEST(MegalodonAcceptance, Line03CountMeanVarianceAndOutputAreTheSameBitsUnderAnySplit) {
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kDouble}) {
    const auto in = random_norm_case({3, 300, 51}, 3, dtype);
    const auto restart = norm_restarts(3, 300), mask = holed_mask(3, 300);
    const auto whole = in.run({.state = in.state, .restart = restart, .mask = mask});
    for (const std::vector<int64_t>& cuts : {std::vector<int64_t>{128, 300}, {37, 165, 300}, {1, 2, 5, 300}, {299, 300}}) {
      std::vector<at::Tensor> outputs;
      TimestepNormState state = in.state;
      int64_t begin = 0;
      for (const int64_t end : cuts) {
        const auto cut = [&](const at::Tensor& tensor) { return tensor.narrow(1, begin, end - begin); };
        const auto part = timestep_norm(cut(in.x), in.weight, in.bias, in.num_groups, {.state = state, .restart = cut(restart), .mask = cut(mask)});
        outputs.push_back(part.output);
        state = part.state;
        begin = end;
      }
      EXPECT_TRUE(all_equal(at::cat(outputs, 1), whole.output));
      expect_equal_states(state, whole.state);
    }
  }
}

TEST(MegalodonAcceptance, Line03MaskedTokensAreInertInTheInteriorToo) {
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kDouble}) {
    auto in = random_norm_case({1, 140, 24}, 3, dtype);
    const auto mask = holed_mask(1, 140), kept = mask[0].nonzero().squeeze(-1);
    const at::Tensor packed = in.x.index_select(1, kept);
    in.x.masked_fill_(mask.logical_not().unsqueeze(-1), NAN);
    const auto holed = in.run({.state = in.state, .mask = mask});
    const auto alone = timestep_norm(packed, in.weight, in.bias, in.num_groups, {.state = in.state});
    EXPECT_TRUE(all_equal(holed.output.index_select(1, kept), alone.output));
    expect_equal_states(holed.state, alone.state);
    EXPECT_TRUE(holed.output.masked_select(mask.logical_not().unsqueeze(-1)).eq(0).all().item<bool>());
  }
}

TEST(TimestepNorm, DoesNotReadBehindTheLengths) {
  auto in = random_norm_case({2, 140, 24}, 3);
  in.x.select(0, 0).narrow(0, 100, 40).fill_(NAN);
  const auto result = in.run({.lengths = at::tensor({int64_t{100}, int64_t{140}})});
  EXPECT_TRUE(result.output.select(0, 0).narrow(0, 100, 40).eq(0).all().item<bool>());
  EXPECT_TRUE(result.output.isfinite().all().item<bool>());
  EXPECT_EQ(result.state.count[0].item<int64_t>(), 100);
}

TEST(TimestepNorm, ARowWithoutTokensReturnsItsState) {
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const auto in = random_norm_case({2, 9, 12}, 3, dtype);
    const auto lengths = at::zeros({2}, at::kLong);
    expect_equal_states(in.run({.state = in.state, .lengths = lengths}).state, in.state);
    const auto nothing = in.run({.lengths = lengths}).state;
    EXPECT_TRUE(nothing.count.eq(0).all().item<bool>());
    EXPECT_TRUE(nothing.mean.eq(0).all().item<bool>());
    EXPECT_TRUE(nothing.variance.eq(1).all().item<bool>());
  }
}

TEST(TimestepNorm, RestartForgetsEvenANanAndIsIgnoredAtPadding) {
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    auto in = random_norm_case({1, 20, 12}, 3, dtype);
    in.x.select(1, 2).fill_(NAN);
    auto restart = at::zeros({1, 20}, at::kBool), mask = at::ones({1, 20}, at::kBool);
    restart.select(1, 8).fill_(true);
    const auto cut = in.run({.state = in.state, .restart = restart});
    const auto alone = timestep_norm(in.x.narrow(1, 8, 12), in.weight, in.bias, 3);
    EXPECT_TRUE(all_equal(cut.output.narrow(1, 8, 12), alone.output));
    expect_equal_states(cut.state, alone.state);
    EXPECT_TRUE(in.run().output.select(1, 19).isnan().all().item<bool>());  // the restart did something
    mask.select(1, 8).fill_(false);
    EXPECT_TRUE(in.run({.restart = restart, .mask = mask}).output.select(1, 19).isnan().all().item<bool>());
  }
}

TEST(TimestepNorm, ACapForgetsOldTokens) {
  auto in = random_norm_case({1, 4000, 16}, 2);
  in.x.narrow(1, 0, 2000).add_(100);
  const auto exactly = in.run().state, capped = in.run({.count_cap = 50}).state;
  EXPECT_GT(exactly.mean.min().item<double>(), 40);
  EXPECT_LT(capped.mean.abs().max().item<double>(), 2);
  EXPECT_EQ(capped.count.item<int64_t>(), 4000);
  expect_equal_states(in.run({.count_cap = 4000}).state, exactly);
}

TEST(TimestepNorm, TakesRowsThatAreNotContiguous) {
  const auto in = random_norm_case({2, 40, 24}, 3);
  const auto expected = in.run();
  const auto with = [&](const at::Tensor& x) { return timestep_norm(x, in.weight, in.bias, 3).output; };
  EXPECT_TRUE(all_equal(with(at::constant_pad_nd(in.x, {3, 5}).narrow(2, 3, 24)), expected.output));
  EXPECT_TRUE(all_equal(with(in.x.transpose(1, 2).contiguous().transpose(1, 2)), expected.output));
  EXPECT_TRUE(all_equal(with(in.x.select(0, 0).expand({2, 40, 24}))[1], expected.output[0]));
}

TEST(TimestepNorm, OneMillionTokensStayWithin1em5OfFp64) {
  at::manual_seed(3);
  constexpr int64_t kCalls = 16, kTokens = 62500, kWidth = 8;
  const at::Tensor none = at::zeros({2 * kWidth});
  TimestepNormOptions options;
  at::Tensor sum = at::zeros({2}, at::kDouble), squares = at::zeros({2}, at::kDouble), x, y;
  for (int64_t call = 0; call < kCalls; ++call) {
    x = at::randn({1, kTokens, 2 * kWidth}) * 2 + 3;
    const auto result = timestep_norm(x, none, none, 2, options);
    options.state = result.state;
    y = result.output;
    const at::Tensor shifted = x.to(at::kDouble).view({-1, 2, kWidth}) - 3;
    sum += shifted.sum(at::IntArrayRef{0, 2});
    squares += shifted.square().sum(at::IntArrayRef{0, 2});
  }
  const double values = static_cast<double>(kCalls * kTokens * kWidth);
  const at::Tensor mean = sum / values, variance = squares / values - mean.square();
  EXPECT_EQ(options.state->count.item<int64_t>(), kCalls * kTokens);
  EXPECT_LT((options.state->mean[0] - (mean + 3)).abs().max().item<double>(), 1e-5);
  EXPECT_LT((options.state->variance[0] / variance - 1).abs().max().item<double>(), 1e-5);
  const at::Tensor last = (x[0][kTokens - 1].to(at::kDouble).view({2, kWidth}) - 3 - mean.unsqueeze(-1)) / (variance + 1e-5).sqrt().unsqueeze(-1);
  EXPECT_LT((y[0][kTokens - 1].view({2, kWidth}) - last).abs().max().item<double>(), 1e-5);
}

TEST(MegalodonAcceptance, Line03ALargeOffsetKeepsTheVarianceInFp32) {
  at::manual_seed(4);
  const at::Tensor x = at::randn({1, 5000, 48}) + 1e4, none = at::zeros({48});
  const auto result = timestep_norm(x, none, none, 2);
  const at::Tensor grouped = x.to(at::kDouble).view({5000, 2, 24}), variance = grouped.var(at::IntArrayRef{0, 2}, false);
  EXPECT_LT((result.state.variance[0] / variance - 1).abs().max().item<double>(), 1e-3);
  const at::Tensor y = (grouped[4999] - grouped.mean(at::IntArrayRef{0, 2}).unsqueeze(-1)) / (variance + 1e-5).sqrt().unsqueeze(-1);
  EXPECT_LT((result.output[0][4999].view({2, 24}) - y).abs().max().item<double>(), 1e-4);
}

TEST(MegalodonAcceptance, Line09ABfloat16StreamWithAMeanShiftFollowsTheFp32StatisticWithin1Percent) {
  at::manual_seed(5);
  const at::Tensor x = at::randn({1, 20000, 32});
  x.narrow(1, 1000, 19000).add_(0.5);
  const at::Tensor none = at::zeros({32});
  TimestepNormOptions single, half;
  for (int64_t begin = 0; begin < 20000; begin += 400) {
    const at::Tensor piece = x.narrow(1, begin, 400);
    single.state = timestep_norm(piece, none, none, 4, single).state;
    half.state = timestep_norm(piece.to(at::kBFloat16), none, none, 4, half).state;
  }
  EXPECT_EQ(half.state->mean.scalar_type(), at::kDouble);
  EXPECT_LT((half.state->mean / single.state->mean - 1).abs().max().item<double>(), 0.01);
  EXPECT_LT((half.state->variance / single.state->variance - 1).abs().max().item<double>(), 0.01);
}

TEST(TimestepNorm, ThreadsDoNotChangeABit) {
  const int threads = at::get_num_threads();
  const auto in = random_norm_case({3, 700, 120}, 5);
  const auto dy = at::randn(in.x.sizes());
  const auto dstate = random_dstate(in);
  std::vector<TimestepNormResult> results;
  std::vector<NormGradients> gradients;
  for (const int n : {1, 2, 3}) {
    at::set_num_threads(n);
    results.push_back(in.run({.state = in.state}));
    gradients.push_back(norm_gradients(in, {}, dy, dstate));
  }
  at::set_num_threads(threads);
  for (size_t i = 1; i < results.size(); ++i) {
    EXPECT_TRUE(all_equal(results[i].output, results[0].output));
    expect_equal_states(results[i].state, results[0].state);
    EXPECT_TRUE(all_equal(gradients[i].x, gradients[0].x));
    EXPECT_TRUE(all_equal(gradients[i].weight, gradients[0].weight));
    EXPECT_TRUE(all_equal(gradients[i].bias, gradients[0].bias));
    EXPECT_TRUE(all_equal(gradients[i].mean, gradients[0].mean));
    EXPECT_TRUE(all_equal(gradients[i].variance, gradients[0].variance));
  }
}

TEST(TimestepNorm, LargeOutputsAreWrittenWhole) {  // the size from which stores go past the cache
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto in = random_norm_case({1, 16500, 528}, 22, dtype);
    const PoisonAllocations poison;
    const auto whole = in.run().output;
    const auto first = timestep_norm(in.x.narrow(1, 0, 4096), in.weight, in.bias, 22);
    EXPECT_TRUE(all_equal(whole.narrow(1, 0, 4096), first.output));
    EXPECT_TRUE(
        all_equal(whole.narrow(1, 4096, 12404), timestep_norm(in.x.narrow(1, 4096, 12404), in.weight, in.bias, 22, {.state = first.state}).output));
  }
}

}  // namespace
}  // namespace everlong::ops
