#include "everlong/ops/ema/ema.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "tests/ops/ema_cases.h"
#include "tests/support/torch/gradcheck.h"
#include "tests/support/torch/poison.h"

namespace everlong::ops {
namespace {

using testing::all_close;
using testing::all_equal;
using testing::gradcheck;
using testing::PoisonAllocations;
using testing::tolerance_for;

/// Runs `ema` with poisoned allocations and compares with fp64.
void expect_exact(const EmaCase& in, const EmaOptions& options) {
  const auto expected = exact(in, options);
  const PoisonAllocations poison;
  const auto actual = ema(in.x, in.q, in.c, options);
  EXPECT_TRUE(all_close(actual.output, expected.output, tolerance_for(in.terms(), at::kFloat, in.x.scalar_type())));
  EXPECT_TRUE(all_close(actual.state, expected.state, tolerance_for(in.terms(), at::kFloat)));
  EXPECT_EQ(actual.output.scalar_type(), in.x.scalar_type());
}

TEST(Ema, EqualsItsEquationAtEveryRaggedSize) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t model_dim : {1, 7, 16, 17, 48, 65}) {
      for (const int64_t ema_ndim : {1, 3, 4, 8, 16, 17, 32}) {
        for (const int64_t seq_len : {1, 2, 3, 63, 64, 65, 127, 129}) {
          SCOPED_TRACE(::testing::Message() << dtype << " T " << seq_len << " D " << model_dim << " N " << ema_ndim);
          const auto in = random_ema_case({2, seq_len, model_dim}, ema_ndim, dtype);
          expect_exact(in, {.state = in.state});
        }
      }
    }
  }
}

TEST(Ema, EqualsItsEquationOverSeveralTiles) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t ema_ndim : {3, 16, 17}) {
      const auto in = random_ema_case({3, 500, 33}, ema_ndim, dtype);
      expect_exact(in, {});
      expect_exact(in, {.state = in.state, .reverse = true});
    }
  }
}

TEST(Ema, RestartsLengthsAndDirectionCombine) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t seq_len : {1, 3, 20, 129, 300}) {
      for (const bool reverse : {false, true}) {
        SCOPED_TRACE(::testing::Message() << dtype << " T " << seq_len << " reverse " << reverse);
        const auto in = random_ema_case({4, seq_len, 17}, 5, dtype);
        const auto restart = random_restarts(4, seq_len);
        const auto lengths = ragged_lengths(4, seq_len);
        expect_exact(in, {.state = in.state, .restart = restart, .reverse = reverse});
        expect_exact(in, {.state = in.state, .lengths = lengths, .reverse = reverse});
        expect_exact(in, {.state = in.state, .restart = restart, .lengths = lengths, .reverse = reverse});
      }
    }
  }
}

TEST(Ema, DoesNotReadPadding) {
  auto in = random_ema_case({2, 140, 17}, 4);
  in.x.select(0, 0).narrow(0, 100, 40).fill_(NAN);
  const auto result = ema(in.x, in.q, in.c, {.lengths = at::tensor({int64_t{100}, int64_t{140}})});
  EXPECT_TRUE(result.output.select(0, 0).narrow(0, 100, 40).eq(0).all().item<bool>());
  EXPECT_TRUE(result.output.isfinite().all().item<bool>());
  EXPECT_TRUE(all_equal(result.state.narrow(0, 0, 1), ema(in.x.narrow(0, 0, 1).narrow(1, 0, 100), in.q, in.c).state));
}

TEST(Ema, RestartForgetsEvenANan) {
  auto in = random_ema_case({1, 20, 3}, 4);
  in.x.select(1, 2).fill_(NAN);
  auto restart = at::zeros({1, 20}, at::kBool);
  restart.select(1, 8).fill_(true);
  const auto cut = ema(in.x, in.q, in.c, {.restart = restart});
  const auto alone = ema(in.x.narrow(1, 8, 12), in.q, in.c);
  EXPECT_TRUE(all_equal(cut.output.narrow(1, 8, 12), alone.output));
  EXPECT_TRUE(all_equal(cut.state, alone.state));
  EXPECT_TRUE(ema(in.x, in.q, in.c).output.select(1, 19).isnan().all().item<bool>());  // the restart did something
}

TEST(Ema, ExtendInPartsEqualsOneCall) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto in = random_ema_case({2, 300, 17}, 16, dtype);
    const auto whole = ema(in.x, in.q, in.c, {.state = in.state});
    for (const std::vector<int64_t>& cuts : {std::vector<int64_t>{128, 300}, {37, 165, 300}, {1, 2, 5, 300}}) {
      std::vector<at::Tensor> outputs;
      at::Tensor state = in.state;
      int64_t begin = 0;
      bool short_pieces = false;
      for (const int64_t end : cuts) {
        const auto part = ema(in.x.narrow(1, begin, end - begin), in.q, in.c, {.state = state});
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

TEST(Ema, TakesRowsThatAreNotContiguous) {
  const auto in = random_ema_case({2, 40, 17}, 4);
  const auto expected = ema(in.x, in.q, in.c);
  EXPECT_TRUE(all_equal(ema(at::constant_pad_nd(in.x, {3, 5}).narrow(2, 3, 17), in.q, in.c).output, expected.output));
  EXPECT_TRUE(all_equal(ema(in.x.transpose(1, 2).contiguous().transpose(1, 2), in.q, in.c).output, expected.output));
  EXPECT_TRUE(all_equal(ema(in.x.select(0, 0).expand({2, 40, 17}), in.q, in.c).output[1], expected.output[0]));
}

TEST(Ema, SlowPolesStayExactOverALongSequence) {
  auto in = random_ema_case({1, 16384, 16}, 2);
  in.q.fill_(1 - 1e-5);
  const auto expected = exact(in, {});
  const auto actual = ema(in.x, in.q, in.c);
  EXPECT_TRUE(all_close(actual.output, expected.output, tolerance_for(16384, at::kFloat)));
  EXPECT_TRUE(all_close(actual.state, expected.state, tolerance_for(16384, at::kFloat)));
}

TEST(Ema, LargeOutputsAreWrittenWhole) {  // the size from which stores go past the cache
  const auto in = random_ema_case({1, 8300, 512}, 2);
  const PoisonAllocations poison;
  const auto whole = ema(in.x, in.q, in.c).output;
  const auto first = ema(in.x.narrow(1, 0, 4096), in.q, in.c);
  EXPECT_TRUE(all_equal(whole.narrow(1, 0, 4096), first.output));
  EXPECT_TRUE(all_equal(whole.narrow(1, 4096, 4204), ema(in.x.narrow(1, 4096, 4204), in.q, in.c, {.state = first.state}).output));
}

TEST(Ema, ThreadsDoNotChangeABit) {
  const int threads = at::get_num_threads();
  const auto in = random_ema_case({3, 700, 80}, 16);
  const auto dy = at::randn(in.x.sizes()), dstate = at::randn(in.state.sizes());
  std::vector<EmaCase> gradients;
  std::vector<EmaResult> results;
  for (const int n : {1, 2, 3}) {
    at::set_num_threads(n);
    results.push_back(ema(in.x, in.q, in.c, {.state = in.state}));
    gradients.push_back(ema_gradients(in, {}, dy, dstate));
  }
  at::set_num_threads(threads);
  for (size_t i = 1; i < results.size(); ++i) {
    EXPECT_TRUE(all_equal(results[i].output, results[0].output));
    EXPECT_TRUE(all_equal(results[i].state, results[0].state));
    EXPECT_TRUE(all_equal(gradients[i].x, gradients[0].x));
    EXPECT_TRUE(all_equal(gradients[i].q, gradients[0].q));
    EXPECT_TRUE(all_equal(gradients[i].c, gradients[0].c));
    EXPECT_TRUE(all_equal(gradients[i].state, gradients[0].state));
  }
}

TEST(Ema, RoundsBfloat16ToNearestEvenAndKeepsNan) {
  const auto in = random_ema_case({1, 64, 32}, 1);
  auto x = in.x.to(at::kBFloat16);
  const auto single = ema(x.to(at::kFloat), in.q, in.c).output;
  EXPECT_TRUE(all_equal(ema(x, in.q, in.c).output, single.to(at::kBFloat16)));
  x.select(2, 3).fill_(NAN);
  x.select(2, 5).fill_(INFINITY);
  const auto output = ema(x, in.q, in.c).output;
  EXPECT_TRUE(output.select(2, 3).isnan().all().item<bool>());
  EXPECT_TRUE(output.select(2, 5).isinf().all().item<bool>());
  EXPECT_TRUE(output.select(2, 4).isfinite().all().item<bool>());
}

}  // namespace
}  // namespace everlong::ops
