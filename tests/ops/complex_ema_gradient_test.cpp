#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/ops/complex_ema/complex_ema.h"
#include "tests/ops/complex_ema_cases.h"
#include "tests/support/torch/gradcheck.h"
#include "tests/support/torch/poison.h"

namespace everlong::ops {
namespace {

using testing::all_close;
using testing::gradcheck;
using testing::PoisonAllocations;
using testing::tolerance_for;

/// Compares the kernel's gradients with those of the reference in fp64.
void expect_exact_gradients(const ComplexEmaCase& in, const ComplexEmaOptions& options, bool with_dstate) {
  at::manual_seed(5);
  const auto dtype = in.x.scalar_type();
  const at::Tensor dy = at::randn(in.x.sizes()).to(dtype);
  const at::Tensor dstate = with_dstate ? at::randn(in.state.sizes()) : at::Tensor();
  const auto expected = exact_gradients(in, options, dy, dstate);
  const PoisonAllocations poison;
  const auto actual = complex_ema_gradients(in, options, dy, dstate);
  const int64_t sums = in.terms() + in.x.size(0) * in.x.size(1);
  EXPECT_TRUE(all_close(actual.x, expected.x, tolerance_for(in.terms(), at::kFloat, dtype))) << "dx";
  EXPECT_TRUE(all_close(actual.state, expected.state, tolerance_for(in.terms(), at::kFloat))) << "dstate_in";
  EXPECT_TRUE(all_close(actual.q, expected.q, tolerance_for(sums, at::kFloat))) << "dq";
  EXPECT_TRUE(all_close(actual.c, expected.c, tolerance_for(sums, at::kFloat))) << "dc";
  EXPECT_TRUE(all_close(actual.omega, expected.omega, tolerance_for(sums, at::kFloat))) << "domega";
}

TEST(ComplexEmaGradient, EqualsTheReferencesAtEveryRaggedSize) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t model_dim : {1, 17, 65}) {
      for (const int64_t ema_ndim : {1, 3, 17}) {
        for (const int64_t seq_len : {1, 3, 64, 129}) {
          SCOPED_TRACE(::testing::Message() << dtype << " T " << seq_len << " D " << model_dim << " N " << ema_ndim);
          expect_exact_gradients(random_complex_ema_case({2, seq_len, model_dim}, ema_ndim, dtype), {}, seq_len == 64);
        }
      }
    }
  }
}

TEST(ComplexEmaGradient, EqualsTheReferencesWithRestartsLengthsAndDirections) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t seq_len : {1, 20, 300}) {
      for (const bool reverse : {false, true}) {
        for (const bool with_dstate : {false, true}) {
          SCOPED_TRACE(::testing::Message() << dtype << " T " << seq_len << " reverse " << reverse << " dstate " << with_dstate);
          const auto in = random_complex_ema_case({4, seq_len, 17}, 5, dtype);
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

TEST(ComplexEmaGradient, ARestartAtTheFirstTokenCutsTheIncomingState) {
  const auto in = random_complex_ema_case({2, 10, 5}, 3);
  auto restart = at::zeros({2, 10}, at::kBool);
  restart.index_put_({at::tensor(0), at::tensor(0)}, true);
  const auto gradient = complex_ema_gradients(in, {.restart = restart}, at::ones_like(in.x), at::ones_like(in.state)).state;
  EXPECT_TRUE(gradient[0].eq(0).all().item<bool>());
  EXPECT_TRUE(gradient[1].ne(0).all().item<bool>());
}

TEST(ComplexEmaGradient, FlowsThroughTheStateAlone) {
  const auto in = random_complex_ema_case({2, 30, 5}, 3);
  const auto state_sum = [](const auto& function, const ComplexEmaCase& from) {
    const auto x = from.x.detach().clone().requires_grad_(true);
    function(x, from.q, from.c, from.omega, ComplexEmaOptions{.state = from.state}).state.sum().backward();
    return x.grad();
  };
  EXPECT_TRUE(all_close(state_sum(complex_ema, in), state_sum(complex_ema_reference, in.to(at::kDouble)), tolerance_for(60, at::kFloat)));
}

TEST(ComplexEmaGradient, TakesAnExpandedOutputGradient) {
  const auto in = random_complex_ema_case({2, 30, 5}, 3);
  const auto output_sum = [](const auto& function, const ComplexEmaCase& from) {
    const auto q = from.q.detach().clone().requires_grad_(true);
    function(from.x, q, from.c, from.omega, ComplexEmaOptions{.state = from.state}).output.sum().backward();
    return q.grad();
  };
  EXPECT_TRUE(all_close(output_sum(complex_ema, in), output_sum(complex_ema_reference, in.to(at::kDouble)), tolerance_for(60, at::kFloat)));
}

/// Two calls, the second from the state of the first; everything that an input can reach is an output.
template <class Function>
std::vector<at::Tensor> in_two_calls(Function&& function, const std::vector<at::Tensor>& in) {
  ComplexEmaOptions options{.state = in[4]};
  const auto first = function(in[0].narrow(1, 0, 7), in[1], in[2], in[3], options);
  options.state = first.state;
  const auto second = function(in[0].narrow(1, 7, 5), in[1], in[2], in[3], options);
  return {first.output, second.output, second.state};
}

TEST(MegalodonAcceptance, Line04GradientsThroughTwoCallsAreWhatCentralDifferencesSay) {
  const auto in = random_complex_ema_case({2, 12, 3}, 4, at::kDouble);
  auto restart = at::zeros({2, 12}, at::kBool);
  restart.index_put_({at::tensor(1), at::tensor(7)}, true);
  const auto lengths = at::tensor({int64_t{9}, int64_t{12}});
  const std::vector<testing::NamedInput> inputs = {{"x", in.x}, {"q", in.q}, {"c", in.c}, {"omega", in.omega}, {"state", in.state}};
  for (const bool reverse : {false, true}) {
    EXPECT_TRUE(gradcheck(
        [&](const auto& given) {
          const auto result =
              complex_ema(given[0], given[1], given[2], given[3], {.state = given[4], .restart = restart, .lengths = lengths, .reverse = reverse});
          return std::vector{result.output, result.state};
        },
        inputs));
  }
  EXPECT_TRUE(gradcheck([](const auto& given) { return in_two_calls(complex_ema, given); }, inputs));
}

TEST(ComplexEmaGradient, OfTheKernelIsWhatCentralDifferencesSay) {
  const auto in = random_complex_ema_case({2, 12, 3}, 4, at::kDouble);
  const auto through_kernel = [](const at::Tensor& x, const at::Tensor& q, const at::Tensor& c, const at::Tensor& omega,
                                 const ComplexEmaOptions& options) {
    const auto single = [](const at::Tensor& tensor) { return tensor.to(at::kFloat); };
    const auto result = complex_ema(single(x), single(q), single(c), single(omega), {.state = single(*options.state)});
    return ComplexEmaResult{result.output.to(at::kDouble), result.state.to(at::kDouble)};
  };
  EXPECT_TRUE(gradcheck([&](const auto& given) { return in_two_calls(through_kernel, given); },
                        {{"x", in.x}, {"q", in.q}, {"c", in.c}, {"omega", in.omega}, {"state", in.state}}, {.step = 1e-2, .tolerance = 2e-3}));
}

TEST(ComplexEmaGradient, StopsWhereItIsNotWanted) {
  const auto in = random_complex_ema_case({2, 30, 5}, 3);
  const auto omega = in.omega.clone().requires_grad_(true);
  complex_ema(in.x, in.q, in.c, omega).output.sum().backward();
  EXPECT_TRUE(all_close(omega.grad(), in.x.sum(std::vector<int64_t>{0, 1}), tolerance_for(60, at::kFloat)));
  EXPECT_FALSE(complex_ema(in.x, in.q, in.c, in.omega).output.requires_grad());
}

TEST(ComplexEmaGradient, TwiceIsRefusedWithTheWayOut) {
  const auto in = random_complex_ema_case({1, 5, 2}, 3);
  const auto x = in.x.clone().requires_grad_(true), q = in.q.clone().requires_grad_(true);
  const auto output = complex_ema(x, q, in.c, in.omega).output.sum();
  const auto first = torch::autograd::grad({output}, {x}, {}, std::nullopt, /*create_graph=*/true)[0];
  try {
    (first * first).sum().backward();
    FAIL() << "a second derivative came back";
  } catch (const std::exception& error) {
    EXPECT_STREQ(error.what(),
                 "[complex_ema] expected to be differentiated once, got a second derivative. Hint: complex_ema_reference has all of them.");
  }
}

}  // namespace
}  // namespace everlong::ops
