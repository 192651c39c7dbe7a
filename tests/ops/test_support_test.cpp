#include <limits>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/support/torch/poison.h"
#include "tests/support/torch/tolerance.h"

namespace everlong::testing {
namespace {

TEST(Poison, ReachesTensorsThatNobodyWroteAndEndsWithItsScope) {
  {
    const PoisonAllocations poison;
    EXPECT_TRUE(at::empty({64}).isnan().all().item<bool>());
    EXPECT_TRUE(at::empty({64}, at::kBFloat16).isnan().all().item<bool>());
    EXPECT_TRUE(at::empty({64}, at::kLong).eq(std::numeric_limits<int64_t>::max()).all().item<bool>());
  }
  EXPECT_FALSE(at::globalContext().deterministicAlgorithms());
}

TEST(AllClose, SeesOneWrongEntryAndNamesIt) {
  const auto expected = at::arange(12, at::kFloat).view({3, 4});
  auto actual = expected.clone();
  EXPECT_TRUE(all_close(actual, expected, {}));
  actual.index_put_({at::tensor(2), at::tensor(1)}, 9.001f);
  EXPECT_TRUE(all_close(actual, expected, {.relative = 1e-4}));
  const auto result = all_close(actual, expected, {.relative = 1e-5});
  ASSERT_FALSE(result);
  EXPECT_NE(std::string(result.message()).find("at [2, 1]"), std::string::npos) << result.message();
}

TEST(AllClose, TakesNanAndInfinityOnlyWhereTheyBelong) {
  const auto expected = at::tensor({1.0, NAN, INFINITY});
  EXPECT_TRUE(all_close(expected.clone(), expected, {}));
  EXPECT_FALSE(all_close(at::tensor({1.0, 2.0, INFINITY}), expected, {.relative = 1, .absolute = 1e9}));
  EXPECT_FALSE(all_close(at::tensor({NAN, NAN, INFINITY}), expected, {.relative = 1, .absolute = 1e9}));
  EXPECT_FALSE(all_close(at::tensor({1.0, NAN, -INFINITY}), expected, {.relative = 1, .absolute = 1e9}));
  EXPECT_FALSE(all_close(at::ones({3}), at::ones({3, 1}), {}));
}

TEST(AllEqual, SeesDtypesAndLastBits) {
  EXPECT_TRUE(all_equal(at::ones({2}), at::ones({2})));
  EXPECT_FALSE(all_equal(at::ones({2}), at::ones({2}, at::kDouble)));
  EXPECT_FALSE(all_equal(at::ones({2}), at::ones({2}) * (1 + 0x1p-23)));
}

TEST(Tolerance, GrowsWithTheRootOfTheLength) {
  const double one = tolerance_for(1, at::kFloat).relative, many = tolerance_for(10000, at::kFloat).relative;
  EXPECT_LT(one, 20 * 0x1p-24 + 1e-12);
  EXPECT_LT(many, 500 * 0x1p-24);
  EXPECT_GT(tolerance_for(1, at::kFloat, at::kBFloat16).relative, unit_roundoff(at::kBFloat16));
  EXPECT_LT(tolerance_for(1, at::kFloat, at::kBFloat16).relative, 1.01 * unit_roundoff(at::kBFloat16));
}

}  // namespace
}  // namespace everlong::testing
