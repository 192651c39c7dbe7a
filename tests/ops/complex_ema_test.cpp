#include "everlong/ops/complex_ema/complex_ema.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "tests/ops/complex_ema_cases.h"
#include "tests/support/torch/poison.h"

namespace everlong::ops {
namespace {

using testing::all_close;
using testing::all_equal;
using testing::PoisonAllocations;
using testing::tolerance_for;

at::Tensor complex_of(const at::Tensor& pairs) { return at::view_as_complex(pairs.contiguous()); }

/// Without a recurrence: powers of q as complex numbers, a convolution with their sum, the fading initial state, and the skip.
ComplexEmaResult closed_form(const ComplexEmaCase& given) {
  const auto in = given.to(at::kDouble);
  const int64_t seq_len = in.x.size(1);
  const auto q = complex_of(in.q).unsqueeze(-1), c = complex_of(in.c), h = complex_of(in.state);
  const auto powers = at::pow(q, at::arange(seq_len + 1, at::kDouble));  // [D, N, T + 1]
  const auto kernel = at::real(at::einsum("dn,dnt->dt", {c, powers})).narrow(1, 0, seq_len);
  const auto x = in.x.transpose(1, 2);  // [B, D, T]
  const auto spectrum = at::fft_rfft(x, 2 * seq_len) * at::fft_rfft(kernel, 2 * seq_len);
  const auto filtered = at::fft_irfft(spectrum, 2 * seq_len).narrow(-1, 0, seq_len);
  const auto fading = at::real(at::einsum("dn,bdn,dnt->bdt", {c, h, powers.narrow(-1, 1, seq_len)}));
  const auto gathered = at::einsum("bdt,dnt->bdn", {x.to(at::kComplexDouble), powers.narrow(-1, 0, seq_len).flip(-1)});
  return {(filtered + fading).transpose(1, 2) + in.omega * in.x, at::view_as_real(gathered + powers.select(-1, seq_len) * h)};
}

TEST(MegalodonAcceptance, Line04TheRecurrenceIsKernelAndFft) {
  for (const int64_t seq_len : {1, 2, 31, 32, 33, 255, 256}) {
    for (const int64_t ema_ndim : {1, 3, 16}) {
      SCOPED_TRACE(::testing::Message() << "T " << seq_len << " N " << ema_ndim);
      const auto in = random_complex_ema_case({2, seq_len, 5}, ema_ndim, at::kDouble);
      const auto expected = closed_form(in), actual = exact(in, {.state = in.state});
      EXPECT_TRUE(all_close(actual.output, expected.output, tolerance_for(in.terms(), at::kDouble)));
      EXPECT_TRUE(all_close(actual.state, expected.state, tolerance_for(in.terms(), at::kDouble)));
    }
  }
}

TEST(MegalodonAcceptance, Line04TheBlockedScanIsKernelAndFftAtEveryLength) {
  for (const int64_t seq_len : {1, 2, 31, 32, 33, 255, 256, 4096, 16385}) {
    SCOPED_TRACE(seq_len);
    auto in = random_complex_ema_case({2, seq_len, 3}, 4);
    const auto expected = closed_form(in), actual = complex_ema(in.x, in.q, in.c, in.omega, {.state = in.state});
    EXPECT_TRUE(all_close(actual.output, expected.output, tolerance_for(in.terms(), at::kFloat)));
    EXPECT_TRUE(all_close(actual.state, expected.state, tolerance_for(in.terms(), at::kFloat)));
    in.state.zero_();
    const auto alone = closed_form(in), without = complex_ema(in.x, in.q, in.c, in.omega);
    EXPECT_TRUE(all_close(without.output, alone.output, tolerance_for(in.terms(), at::kFloat)));
    EXPECT_TRUE(all_close(without.state, alone.state, tolerance_for(in.terms(), at::kFloat)));
  }
}

/// Runs `complex_ema` with poisoned allocations and compares with fp64.
void expect_exact(const ComplexEmaCase& in, const ComplexEmaOptions& options) {
  const auto expected = exact(in, options);
  const PoisonAllocations poison;
  const auto actual = complex_ema(in.x, in.q, in.c, in.omega, options);
  EXPECT_TRUE(all_close(actual.output, expected.output, tolerance_for(in.terms(), at::kFloat, in.x.scalar_type())));
  EXPECT_TRUE(all_close(actual.state, expected.state, tolerance_for(in.terms(), at::kFloat)));
  EXPECT_EQ(actual.output.scalar_type(), in.x.scalar_type());
}

TEST(ComplexEma, EqualsItsEquationAtEveryRaggedSize) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t model_dim : {1, 7, 16, 17, 48, 65}) {
      for (const int64_t ema_ndim : {1, 3, 4, 8, 16, 17}) {
        for (const int64_t seq_len : {1, 2, 3, 4, 63, 64, 65, 129}) {
          SCOPED_TRACE(::testing::Message() << dtype << " T " << seq_len << " D " << model_dim << " N " << ema_ndim);
          const auto in = random_complex_ema_case({2, seq_len, model_dim}, ema_ndim, dtype);
          expect_exact(in, {.state = in.state});
        }
      }
    }
  }
}

TEST(ComplexEma, EqualsItsEquationOverSeveralTiles) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t ema_ndim : {3, 16, 17}) {
      const auto in = random_complex_ema_case({3, 500, 33}, ema_ndim, dtype);
      expect_exact(in, {});
      expect_exact(in, {.state = in.state, .reverse = true});
    }
  }
}

TEST(ComplexEma, RestartsLengthsAndDirectionCombine) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t seq_len : {1, 3, 20, 129, 300}) {
      for (const bool reverse : {false, true}) {
        SCOPED_TRACE(::testing::Message() << dtype << " T " << seq_len << " reverse " << reverse);
        const auto in = random_complex_ema_case({4, seq_len, 17}, 5, dtype);
        const auto restart = random_restarts(4, seq_len);
        const auto lengths = ragged_lengths(4, seq_len);
        expect_exact(in, {.state = in.state, .restart = restart, .reverse = reverse});
        expect_exact(in, {.state = in.state, .lengths = lengths, .reverse = reverse});
        expect_exact(in, {.state = in.state, .restart = restart, .lengths = lengths, .reverse = reverse});
      }
    }
  }
}

TEST(ComplexEma, DoesNotReadPadding) {
  auto in = random_complex_ema_case({2, 140, 17}, 4);
  in.x.select(0, 0).narrow(0, 100, 40).fill_(NAN);
  const auto result = complex_ema(in.x, in.q, in.c, in.omega, {.lengths = at::tensor({int64_t{100}, int64_t{140}})});
  EXPECT_TRUE(result.output.select(0, 0).narrow(0, 100, 40).eq(0).all().item<bool>());
  EXPECT_TRUE(result.output.isfinite().all().item<bool>());
  EXPECT_TRUE(all_equal(result.state.narrow(0, 0, 1), complex_ema(in.x.narrow(0, 0, 1).narrow(1, 0, 100), in.q, in.c, in.omega).state));
}

TEST(ComplexEma, RestartForgetsEvenANan) {
  auto in = random_complex_ema_case({1, 20, 3}, 4);
  in.x.select(1, 2).fill_(NAN);
  auto restart = at::zeros({1, 20}, at::kBool);
  restart.select(1, 7).fill_(true);
  const auto cut = complex_ema(in.x, in.q, in.c, in.omega, {.restart = restart});
  const auto alone = complex_ema(in.x.narrow(1, 7, 13), in.q, in.c, in.omega);
  EXPECT_TRUE(all_equal(cut.output.narrow(1, 7, 13), alone.output));
  EXPECT_TRUE(all_equal(cut.state, alone.state));
  EXPECT_TRUE(complex_ema(in.x, in.q, in.c, in.omega).output.select(1, 19).isnan().all().item<bool>());  // the restart did something
}

TEST(ComplexEma, ExtendInPartsEqualsOneCall) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto in = random_complex_ema_case({2, 300, 17}, 16, dtype);
    const auto whole = complex_ema(in.x, in.q, in.c, in.omega, {.state = in.state});
    for (const std::vector<int64_t>& cuts : {std::vector<int64_t>{128, 300}, {37, 165, 300}, {1, 2, 5, 300}}) {
      std::vector<at::Tensor> outputs;
      at::Tensor state = in.state;
      int64_t begin = 0;
      bool short_pieces = false;
      for (const int64_t end : cuts) {
        const auto part = complex_ema(in.x.narrow(1, begin, end - begin), in.q, in.c, in.omega, {.state = state});
        outputs.push_back(part.output);
        state = part.state;
        short_pieces |= end - begin < 4;
        begin = end;
      }
      if (short_pieces) {  // a few tokens are summed over n in another order
        EXPECT_TRUE(all_close(at::cat(outputs, 1), whole.output, tolerance_for(in.terms(), at::kFloat, dtype)));
        EXPECT_TRUE(all_close(state, whole.state, tolerance_for(in.terms(), at::kFloat)));
      } else {
        EXPECT_TRUE(all_equal(at::cat(outputs, 1), whole.output));
        EXPECT_TRUE(all_equal(state, whole.state));
      }
    }
  }
}

TEST(ComplexEma, TakesTensorsThatAreNotContiguous) {
  const auto in = random_complex_ema_case({2, 40, 17}, 4);
  const auto expected = complex_ema(in.x, in.q, in.c, in.omega);
  EXPECT_TRUE(all_equal(complex_ema(at::constant_pad_nd(in.x, {3, 5}).narrow(2, 3, 17), in.q, in.c, in.omega).output, expected.output));
  EXPECT_TRUE(all_equal(complex_ema(in.x.transpose(1, 2).contiguous().transpose(1, 2), in.q, in.c, in.omega).output, expected.output));
  EXPECT_TRUE(all_equal(complex_ema(in.x.select(0, 0).expand({2, 40, 17}), in.q, in.c, in.omega).output[1], expected.output[0]));
  const auto planes = [](const at::Tensor& pairs) { return pairs.movedim(-1, 0).contiguous().movedim(0, -1); };
  EXPECT_TRUE(all_equal(complex_ema(in.x, planes(in.q), planes(in.c), in.omega).output, expected.output));
}

TEST(MegalodonAcceptance, Line04SlowPolesStayExactOverALongSequence) {
  auto in = random_complex_ema_case({1, 16384, 16}, 2);
  in.q.select(-1, 0).fill_(1 - 1e-5);  // angles of 1e-4: the sum over all tokens hardly turns
  in.q.select(-1, 1).fill_(1e-4);
  const auto expected = exact(in, {});
  const auto actual = complex_ema(in.x, in.q, in.c, in.omega);
  EXPECT_TRUE(all_close(actual.output, expected.output, tolerance_for(16384, at::kFloat)));
  EXPECT_TRUE(all_close(actual.state, expected.state, tolerance_for(16384, at::kFloat)));
}

TEST(ComplexEma, LargeOutputsAreWrittenWhole) {  // the size from which stores go past the cache
  const auto in = random_complex_ema_case({1, 8300, 512}, 2);
  const PoisonAllocations poison;
  const auto whole = complex_ema(in.x, in.q, in.c, in.omega).output;
  const auto first = complex_ema(in.x.narrow(1, 0, 4096), in.q, in.c, in.omega);
  EXPECT_TRUE(all_equal(whole.narrow(1, 0, 4096), first.output));
  EXPECT_TRUE(all_equal(whole.narrow(1, 4096, 4204), complex_ema(in.x.narrow(1, 4096, 4204), in.q, in.c, in.omega, {.state = first.state}).output));
}

TEST(ComplexEma, ThreadsDoNotChangeABit) {
  const int threads = at::get_num_threads();
  const auto in = random_complex_ema_case({3, 700, 80}, 16);
  const auto dy = at::randn(in.x.sizes()), dstate = at::randn(in.state.sizes());
  std::vector<ComplexEmaCase> gradients;
  std::vector<ComplexEmaResult> results;
  for (const int n : {1, 2, 3}) {
    at::set_num_threads(n);
    results.push_back(complex_ema(in.x, in.q, in.c, in.omega, {.state = in.state}));
    gradients.push_back(complex_ema_gradients(in, {}, dy, dstate));
  }
  at::set_num_threads(threads);
  for (size_t i = 1; i < results.size(); ++i) {
    EXPECT_TRUE(all_equal(results[i].output, results[0].output));
    EXPECT_TRUE(all_equal(results[i].state, results[0].state));
    EXPECT_TRUE(all_equal(gradients[i].x, gradients[0].x));
    EXPECT_TRUE(all_equal(gradients[i].q, gradients[0].q));
    EXPECT_TRUE(all_equal(gradients[i].c, gradients[0].c));
    EXPECT_TRUE(all_equal(gradients[i].omega, gradients[0].omega));
    EXPECT_TRUE(all_equal(gradients[i].state, gradients[0].state));
  }
}

TEST(ComplexEma, RoundsBfloat16ToNearestEvenAndKeepsNan) {
  const auto in = random_complex_ema_case({1, 64, 32}, 1);
  auto x = in.x.to(at::kBFloat16);
  const auto single = complex_ema(x.to(at::kFloat), in.q, in.c, in.omega).output;
  EXPECT_TRUE(all_equal(complex_ema(x, in.q, in.c, in.omega).output, single.to(at::kBFloat16)));
  x.select(2, 3).fill_(NAN);
  const auto output = complex_ema(x, in.q, in.c, in.omega).output;
  EXPECT_TRUE(output.select(2, 3).isnan().all().item<bool>());
  EXPECT_TRUE(output.select(2, 4).isfinite().all().item<bool>());
}

}  // namespace
}  // namespace everlong::ops
