#include "everlong/ops/query_attention/query_attention.h"

#include <cmath>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/tensor/torch.h"
#include "tests/support/torch/poison.h"
#include "tests/support/torch/tolerance.h"

namespace everlong::ops {
namespace {

using testing::all_close;
using testing::all_equal;
using testing::PoisonAllocations;
using testing::tolerance_for;

struct Sizes {
  int64_t B = 1, H = 1, A = 9, z = 8, e = 8;
};

struct Case {
  at::Tensor query, keys, values;
};

/// Keys and values as the first places of a longer cache.
Case make_case(const Sizes& s, at::ScalarType dtype) {
  const auto cache = [&](int64_t width) { return at::randn({s.B, s.A + 3, width}).to(dtype).narrow(1, 0, s.A); };
  return {(at::randn({s.B, 1, s.H * s.z}) / std::sqrt(static_cast<double>(s.z))).to(dtype), cache(s.H * s.z), cache(s.H * s.e)};
}

at::Tensor written_out(const Case& c, const Sizes& s) {
  const auto heads = [&](const at::Tensor& x) { return x.to(at::kDouble).unflatten(-1, {s.H, -1}).transpose(1, 2); };
  const at::Tensor weights = at::softmax(at::matmul(heads(c.query), heads(c.keys).transpose(2, 3)), -1);
  return at::matmul(weights, heads(c.values)).transpose(1, 2).flatten(2);
}

TEST(QueryAttention, KernelAndReferenceEqualTheProductWrittenOut) {
  const PoisonAllocations poison;
  at::manual_seed(1);
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kDouble})
    for (const Sizes& s : {Sizes{}, {.B = 3, .H = 2, .A = 1}, {.H = 4, .A = 300, .z = 64, .e = 130}, {.B = 2, .H = 6, .A = 65, .z = 5, .e = 70}, {.H = 2, .A = 1000, .z = 64, .e = 512}}) {
      const Case c = make_case(s, dtype);
      const at::Tensor truth = written_out(c, s);
      auto tolerance = tolerance_for(s.A + s.z, dtype == at::kDouble ? dtype : at::kFloat, dtype);
      if (dtype == at::kBFloat16) tolerance.relative *= 4;  // scores and weights are rounded too
      EXPECT_TRUE(all_close(query_attention(c.query, c.keys, c.values, s.H), truth, tolerance)) << dtype << ", " << s.H << " heads, " << s.A << " keys";
      EXPECT_TRUE(all_close(query_attention_reference(c.query, c.keys, c.values, s.H), truth, tolerance)) << dtype << ", " << s.H << " heads";
    }
}

TEST(QueryAttention, TheResultDoesNotDependOnTheNumberOfThreads) {
  const int before = at::get_num_threads();
  const Case c = make_case({.B = 2, .H = 3, .A = 700, .z = 32, .e = 200}, at::kFloat);
  at::set_num_threads(1);
  const at::Tensor alone = query_attention(c.query, c.keys, c.values, 3);
  at::set_num_threads(2);
  EXPECT_TRUE(all_equal(query_attention(c.query, c.keys, c.values, 3), alone));
  at::set_num_threads(before);
}

TEST(QueryAttention, ShapesThatDisagreeAreRefused) {
  const Case c = make_case({.H = 2}, at::kFloat);
  EXPECT_THROW(static_cast<void>(query_attention(c.query, c.keys.narrow(2, 0, 8), c.values, 2)), InvalidArgument);
  EXPECT_THROW(static_cast<void>(query_attention(c.query, c.keys, c.values.narrow(1, 0, 5), 2)), InvalidArgument);
  EXPECT_THROW(static_cast<void>(query_attention(c.query, c.keys, c.values, 3)), InvalidArgument);
  EXPECT_THROW(static_cast<void>(query_attention(at::zeros({1, 2, 16}), c.keys, c.values, 2)), InvalidArgument);
}

}  // namespace
}  // namespace everlong::ops
