#include "everlong/report/series.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace everlong::report {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::vector<double> ramp(size_t count) {
  std::vector<double> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<double>(i % 7);
  return values;
}

TEST(Thin, KeepsEverySpikeHoweverNarrow) {
  std::vector<double> values = ramp(100'000);
  values[31'415] = 1000;
  values[31'416] = -1000;
  values[99'998] = 500;
  const std::vector<size_t> kept = thin(values, 50);
  for (const size_t spike : {size_t{31'415}, size_t{31'416}, size_t{99'998}})
    EXPECT_TRUE(std::find(kept.begin(), kept.end(), spike) != kept.end()) << spike;
}

TEST(Thin, KeepsFirstAndLastInOrderWithoutRepeats) {
  const std::vector<double> values = ramp(9999);
  const std::vector<size_t> kept = thin(values, 20);
  EXPECT_EQ(kept.front(), 0u);
  EXPECT_EQ(kept.back(), 9998u);
  EXPECT_LE(kept.size(), 42u);
  EXPECT_TRUE(std::adjacent_find(kept.begin(), kept.end(), std::greater_equal<>()) == kept.end());
}

TEST(Thin, KeepsTheExtremesOfEachStretch) {
  std::vector<double> values(1000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<double>(i * i));
  const std::vector<size_t> kept = thin(values, 10);
  for (size_t bucket = 0; bucket < 10; ++bucket) {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(bucket * 100);
    const auto extremes = std::minmax_element(begin, begin + 100);
    for (const auto extreme : {extremes.first, extremes.second})
      EXPECT_TRUE(std::binary_search(kept.begin(), kept.end(), static_cast<size_t>(extreme - values.begin()))) << bucket;
  }
}

TEST(Thin, LeavesShortSeriesWholeAndDropsWhatIsNotFinite) {
  const std::vector<double> values = {1, kNan, 3, std::numeric_limits<double>::infinity(), 5};
  EXPECT_EQ(thin(values, 10), (std::vector<size_t>{0, 2, 4}));
  EXPECT_TRUE(thin({}, 10).empty());
  EXPECT_TRUE(thin(std::vector<double>(50, kNan), 0).empty());
}

TEST(Smooth, IsTheConstantOfAConstantFromTheFirstPointOn) {
  for (const double value : smooth(std::vector<double>(50, 2.5), 20)) EXPECT_DOUBLE_EQ(value, 2.5);
}

TEST(Smooth, OfAWindowOfOneIsTheSeriesItself) {
  const std::vector<double> values = {3, 1, 4, 1, 5};
  EXPECT_EQ(smooth(values, 1), values);
}

TEST(Smooth, WeighsByItsFormulaAndSkipsGaps) {
  const std::vector<double> out = smooth(std::vector<double>{1, kNan, 4}, 3);  // d = 1/2
  EXPECT_DOUBLE_EQ(out[0], 1);
  EXPECT_TRUE(std::isnan(out[1]));
  EXPECT_DOUBLE_EQ(out[2], (0.25 * 1 + 0.5 * 4) / 0.75);
}

TEST(Median, IsTheMiddleOrTheMeanOfTheTwoMiddleValues) {
  EXPECT_EQ(median({5, 1, 3}), 3);
  EXPECT_EQ(median({4, 1, kNan, 3, 2}), 2.5);
  EXPECT_TRUE(std::isnan(median({kNan})));
}

TEST(Greatest, PassesOverGaps) {
  EXPECT_EQ(greatest(std::vector<double>{kNan, -3, -1, kNan}), -1);
  EXPECT_TRUE(std::isnan(greatest({})));
}

TEST(MeanOfLast, CountsOnlyFiniteValues) {
  EXPECT_EQ(mean_of_last(std::vector<double>{100, 2, kNan, 4}, 2), 3);
  EXPECT_EQ(mean_of_last(std::vector<double>{2, 4}, 20), 3);
  EXPECT_TRUE(std::isnan(mean_of_last({}, 2)));
}

}  // namespace
}  // namespace everlong::report
