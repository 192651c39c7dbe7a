#include "everlong/data/permutation.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "tests/data/support.h"

namespace everlong::data {
namespace {

using testing::message_of;

TEST(Permutation, EveryNumberComesOnce) {
  for (int64_t size : {1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000, 4097}) {
    const Permutation permutation(size, 7);
    std::vector<int> seen(static_cast<size_t>(size));
    for (int64_t i = 0; i < size; ++i) ++seen.at(static_cast<size_t>(permutation(i)));
    EXPECT_EQ(seen, std::vector<int>(static_cast<size_t>(size), 1)) << size;
  }
}

TEST(Permutation, EachPlaceIsEquallyLikelyOverTheKeys) {
  constexpr int64_t kSize = 6, kKeys = 12000;
  int counts[kSize][kSize] = {};
  for (uint64_t key = 0; key < kKeys; ++key) {
    const Permutation permutation(kSize, key);
    for (int64_t i = 0; i < kSize; ++i) ++counts[i][permutation(i)];
  }
  const double mean = static_cast<double>(kKeys) / kSize, deviation = std::sqrt(mean * (1 - 1.0 / kSize));
  for (const auto& row : counts) {
    for (const int count : row) EXPECT_NEAR(count, mean, 5 * deviation);
  }
}

TEST(Permutation, LargeSizesStayInRange) {
  const int64_t size = (int64_t{1} << 62) - 3;
  const Permutation permutation(size, 1), other(size, 2);
  EXPECT_NE(permutation(0), other(0));
  for (const int64_t index : {int64_t{0}, int64_t{1}, size - 1}) {
    EXPECT_GE(permutation(index), 0);
    EXPECT_LT(permutation(index), size);
  }
}

TEST(Permutation, ASizeOutsideTheRangeIsRefused) {
  EXPECT_EQ(message_of<InvalidArgument>([] { Permutation(0, 1); }), "[permutation] expected a size in [1, 2^62], got 0.");
  EXPECT_EQ(message_of<InvalidArgument>([] { Permutation((int64_t{1} << 62) + 1, 1); }),
            "[permutation] expected a size in [1, 2^62], got 4611686018427387905.");
}

}  // namespace
}  // namespace everlong::data
