// Registered only where torch has a CUDA device, so that a machine without one reports no test that did not run.

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <gtest/gtest.h>

#include "everlong/ops/ema/ema.h"
#include "everlong/ops/ema/ema_kernel.h"
#include "tests/ops/ema_cases.h"
#include "tests/support/torch/poison.h"

namespace everlong::ops {
namespace {

using testing::all_close;
using testing::PoisonAllocations;
using testing::tolerance_for;

EmaCase on_cuda(const EmaCase& in) { return {in.x.to(at::kCUDA), in.q.to(at::kCUDA), in.c.to(at::kCUDA), in.state.to(at::kCUDA)}; }

EmaOptions on_cuda(EmaOptions options) {
  for (auto* tensor : {&options.state, &options.restart, &options.lengths}) {
    if (*tensor) *tensor = (*tensor)->to(at::kCUDA);
  }
  return options;
}

void expect_exact(const EmaCase& in, EmaOptions options) {
  at::manual_seed(5);
  const auto dtype = in.x.scalar_type();
  const at::Tensor dy = at::randn(in.x.sizes()).to(dtype), dstate = at::randn(in.state.sizes());
  const auto expected_gradients = exact_gradients(in, options, dy, dstate);
  options.state = in.state;
  const auto expected = exact(in, options);
  const PoisonAllocations poison;
  const auto there = on_cuda(in);
  const auto actual = ema(there.x, there.q, there.c, on_cuda(options));
  EXPECT_TRUE(all_close(actual.output, expected.output, tolerance_for(in.terms(), at::kFloat, dtype)));
  EXPECT_TRUE(all_close(actual.state, expected.state, tolerance_for(in.terms(), at::kFloat)));
  const auto gradients = ema_gradients(there, on_cuda(options), dy.to(at::kCUDA), dstate.to(at::kCUDA));
  const int64_t sums = in.terms() + in.x.size(0) * in.x.size(1);
  EXPECT_TRUE(all_close(gradients.x, expected_gradients.x, tolerance_for(in.terms(), at::kFloat, dtype))) << "dx";
  EXPECT_TRUE(all_close(gradients.state, expected_gradients.state, tolerance_for(in.terms(), at::kFloat))) << "dstate_in";
  EXPECT_TRUE(all_close(gradients.q, expected_gradients.q, tolerance_for(sums, at::kFloat))) << "dq";
  EXPECT_TRUE(all_close(gradients.c, expected_gradients.c, tolerance_for(sums, at::kFloat))) << "dc";
}

class EmaOnCuda : public ::testing::Test {
 public:
  void TestBody() override {
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      for (const int64_t ema_ndim : {1, 5, 16, 17, 33}) {
        for (const int64_t seq_len : {1, 3, 130}) {
          for (const bool reverse : {false, true}) {
            SCOPED_TRACE(::testing::Message() << dtype << " N " << ema_ndim << " T " << seq_len << " reverse " << reverse);
            const auto in = random_ema_case({4, seq_len, 150}, ema_ndim, dtype);
            expect_exact(in, {.reverse = reverse});
            expect_exact(in, {.restart = random_restarts(4, seq_len), .lengths = ragged_lengths(4, seq_len), .reverse = reverse});
          }
        }
      }
    }
  }
};

[[maybe_unused]] const bool kRegistered = [] {
  if (at::hasCUDA()) {
    ::testing::RegisterTest("EmaOnCuda", "EqualsItsEquationAndItsGradients", nullptr, nullptr, __FILE__, __LINE__,
                            []() -> ::testing::Test* { return new EmaOnCuda; });
  }
  return at::hasCUDA();
}();

}  // namespace
}  // namespace everlong::ops
