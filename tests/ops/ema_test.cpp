#include "everlong/ops/ema/ema.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "tests/support/torch/poison.h"
#include "tests/support/torch/tolerance.h"

namespace everlong::ops {
namespace {

using testing::all_close;
using testing::all_equal;
using testing::PoisonAllocations;
using testing::tolerance_for;

struct Case {
  at::Tensor x, q, c, state;
};

/// Numbers as in training: poles between 0.3 and 0.999, a carried state of the size that the inputs build up.
Case random_case(at::IntArrayRef sizes, int64_t ema_ndim, at::ScalarType dtype = at::kFloat, uint64_t seed = 7) {
  at::manual_seed(seed);
  const int64_t batch_size = sizes[0], model_dim = sizes[2];
  const auto parameters = dtype == at::kDouble ? at::kDouble : at::kFloat;
  return {at::randn(sizes).to(dtype), (0.3 + 0.699 * at::rand({model_dim, ema_ndim})).to(parameters), at::randn({model_dim, ema_ndim}).to(parameters),
          at::randn({batch_size, model_dim, ema_ndim}).to(parameters)};
}

/// The reference on the same numbers in fp64.
EmaResult exact(const Case& in, EmaOptions options) {
  if (options.state) options.state = options.state->to(at::kDouble);
  return ema_reference(in.x.to(at::kDouble), in.q.to(at::kDouble), in.c.to(at::kDouble), options);
}

at::Tensor restarts(int64_t batch_size, int64_t seq_len) {
  at::manual_seed(11);
  return at::rand({batch_size, seq_len}).lt(3.0 / static_cast<double>(seq_len + 2)).contiguous();
}

at::Tensor some_lengths(int64_t batch_size, int64_t seq_len) {
  return (at::arange(batch_size) * 2 * seq_len / std::max<int64_t>(1, 2 * batch_size - 1)).contiguous();
}

/// Runs `ema` with poisoned allocations and compares with fp64.
void expect_exact(const Case& in, const EmaOptions& options) {
  const auto expected = exact(in, options);
  const PoisonAllocations poison;
  const auto actual = ema(in.x, in.q, in.c, options);
  const int64_t terms = in.q.size(1) + std::min<int64_t>(in.x.size(1), 1000);
  EXPECT_TRUE(all_close(actual.output, expected.output, tolerance_for(terms, at::kFloat, in.x.scalar_type())));
  EXPECT_TRUE(all_close(actual.state, expected.state, tolerance_for(terms, at::kFloat)));
  EXPECT_EQ(actual.output.scalar_type(), in.x.scalar_type());
}

TEST(Ema, EqualsItsEquationAtEveryRaggedSize) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t model_dim : {1, 7, 16, 17, 48, 65}) {
      for (const int64_t ema_ndim : {1, 3, 4, 8, 16, 17, 32}) {
        for (const int64_t seq_len : {1, 2, 3, 63, 64, 65, 127, 129}) {
          SCOPED_TRACE(::testing::Message() << dtype << " T " << seq_len << " D " << model_dim << " N " << ema_ndim);
          const auto in = random_case({2, seq_len, model_dim}, ema_ndim, dtype);
          expect_exact(in, {.state = in.state});
        }
      }
    }
  }
}

}  // namespace
}  // namespace everlong::ops
