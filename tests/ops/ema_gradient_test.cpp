#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/ops/ema/ema.h"
#include "tests/ops/ema_cases.h"
#include "tests/support/torch/gradcheck.h"
#include "tests/support/torch/poison.h"

namespace everlong::ops {
namespace {

using testing::all_close;
using testing::gradcheck;
using testing::PoisonAllocations;
using testing::tolerance_for;

/// Compares the kernel's gradients with those of the reference in fp64.
void expect_exact_gradients(const EmaCase& in, const EmaOptions& options, bool with_dstate) {
  at::manual_seed(5);
  const auto dtype = in.x.scalar_type();
  const at::Tensor dy = at::randn(in.x.sizes()).to(dtype);
  const at::Tensor dstate = with_dstate ? at::randn(in.state.sizes()) : at::Tensor();
  const auto expected = exact_gradients(in, options, dy, dstate);
  const PoisonAllocations poison;
  const auto actual = ema_gradients(in, options, dy, dstate);
  const int64_t sums = in.terms() + in.x.size(0) * in.x.size(1);
  EXPECT_TRUE(all_close(actual.x, expected.x, tolerance_for(in.terms(), at::kFloat, dtype))) << "dx";
  EXPECT_TRUE(all_close(actual.state, expected.state, tolerance_for(in.terms(), at::kFloat))) << "dstate_in";
  EXPECT_TRUE(all_close(actual.q, expected.q, tolerance_for(sums, at::kFloat))) << "dq";
  EXPECT_TRUE(all_close(actual.c, expected.c, tolerance_for(sums, at::kFloat))) << "dc";
}

TEST(EmaGradient, EqualsTheReferencesAtEveryRaggedSize) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t model_dim : {1, 7, 16, 17, 48, 65}) {
      for (const int64_t ema_ndim : {1, 3, 4, 8, 16, 17, 32}) {
        for (const int64_t seq_len : {1, 3, 64, 129}) {
          SCOPED_TRACE(::testing::Message() << dtype << " T " << seq_len << " D " << model_dim << " N " << ema_ndim);
          expect_exact_gradients(random_ema_case({2, seq_len, model_dim}, ema_ndim, dtype), {}, seq_len == 64);
        }
      }
    }
  }
}

TEST(EmaGradient, EqualsTheReferencesWithRestartsLengthsAndDirections) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t seq_len : {1, 20, 300}) {
      for (const bool reverse : {false, true}) {
        for (const bool with_dstate : {false, true}) {
          SCOPED_TRACE(::testing::Message() << dtype << " T " << seq_len << " reverse " << reverse << " dstate " << with_dstate);
          const auto in = random_ema_case({4, seq_len, 17}, 5, dtype);
          const auto restart = random_restarts(4, seq_len);
          const auto lengths = ragged_lengths(4, seq_len);
          expect_exact_gradients(in, {.restart = restart, .reverse = reverse}, with_dstate);
          expect_exact_gradients(in, {.lengths = lengths, .reverse = reverse}, with_dstate);
          expect_exact_gradients(in, {.restart = restart, .lengths = lengths, .reverse = reverse}, with_dstate);
        }
      }
    }
  }
}

TEST(EmaGradient, ARestartAtTheFirstTokenCutsTheIncomingState) {
  const auto in = random_ema_case({2, 10, 5}, 3);
  auto restart = at::zeros({2, 10}, at::kBool);
  restart.index_put_({at::tensor(0), at::tensor(0)}, true);
  const auto gradient = ema_gradients(in, {.restart = restart}, at::ones_like(in.x), at::ones_like(in.state)).state;
  EXPECT_TRUE(gradient[0].eq(0).all().item<bool>());
  EXPECT_TRUE(gradient[1].ne(0).all().item<bool>());
}

TEST(EmaGradient, FlowsThroughTheStateAloneAndThroughAnExpandedOutputGradient) {
  const auto in = random_ema_case({2, 30, 5}, 3);
  const auto wide = EmaCase{in.x.to(at::kDouble), in.q.to(at::kDouble), in.c.to(at::kDouble), in.state.to(at::kDouble)};
  const auto state_only = [](auto function, const EmaCase& from) {
    const auto x = from.x.detach().clone().requires_grad_(true);
    function(x, from.q, from.c, EmaOptions{.state = from.state}).state.sum().backward();
    return x.grad();
  };
  EXPECT_TRUE(all_close(state_only(ema, in), state_only(ema_reference, wide), tolerance_for(30, at::kFloat)));
  const auto output_sum = [](auto function, const EmaCase& from) {
    const auto q = from.q.detach().clone().requires_grad_(true);
    function(from.x, q, from.c, EmaOptions{.state = from.state}).output.sum().backward();
    return q.grad();
  };
  EXPECT_TRUE(all_close(output_sum(ema, in), output_sum(ema_reference, wide), tolerance_for(60, at::kFloat)));
}

TEST(EmaGradient, IsWhatCentralDifferencesSay) {
  const auto in = random_ema_case({2, 12, 3}, 4, at::kDouble);
  auto restart = at::zeros({2, 12}, at::kBool);
  restart.index_put_({at::tensor(1), at::tensor(7)}, true);
  const auto lengths = at::tensor({int64_t{9}, int64_t{12}});
  for (const bool reverse : {false, true}) {
    EXPECT_TRUE(gradcheck(
        [&](const auto& inputs) {
          const auto result = ema(inputs[0], inputs[1], inputs[2], {.state = inputs[3], .restart = restart, .lengths = lengths, .reverse = reverse});
          return std::vector{result.output, result.state};
        },
        {{"x", in.x}, {"q", in.q}, {"c", in.c}, {"state", in.state}}));
  }
}

TEST(EmaGradient, OfTheKernelIsWhatCentralDifferencesSay) {
  const auto in = random_ema_case({2, 12, 3}, 4, at::kDouble);
  const auto through_kernel = [](const auto& inputs) {
    const auto single = [](const at::Tensor& tensor) { return tensor.to(at::kFloat); };
    const auto result = ema(single(inputs[0]), single(inputs[1]), single(inputs[2]), {.state = single(inputs[3])});
    return std::vector{result.output.to(at::kDouble), result.state.to(at::kDouble)};
  };
  EXPECT_TRUE(gradcheck(through_kernel, {{"x", in.x}, {"q", in.q}, {"c", in.c}, {"state", in.state}}, {.step = 1e-2, .tolerance = 2e-3}));
}

TEST(EmaGradient, StopsWhereItIsNotWanted) {
  const auto in = random_ema_case({2, 30, 5}, 3);
  const auto q = in.q.clone().requires_grad_(true);
  const auto result = ema(in.x, q, in.c);
  result.output.sum().backward();
  EXPECT_TRUE(q.grad().defined());
  EXPECT_FALSE(ema(in.x, in.q, in.c).output.requires_grad());
}

TEST(EmaGradient, TwiceIsRefusedWithTheWayOut) {
  const auto in = random_ema_case({1, 5, 2}, 3);
  const auto x = in.x.clone().requires_grad_(true), q = in.q.clone().requires_grad_(true);
  const auto first = torch::autograd::grad({ema(x, q, in.c).output.sum()}, {x}, {}, std::nullopt, /*create_graph=*/true)[0];
  try {
    (first * first).sum().backward();
    FAIL() << "a second derivative came back";
  } catch (const std::exception& error) {
    EXPECT_STREQ(error.what(), "[ema] expected to be differentiated once, got a second derivative. Hint: ema_reference has all of them.");
  }
}

}  // namespace
}  // namespace everlong::ops
