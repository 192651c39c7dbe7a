#include "everlong/train/schedule.h"

#include <cmath>

#include <gtest/gtest.h>

namespace everlong::train {
namespace {

/// Warm-up over steps 0..3, then nine steps from 4 to 13.
ScheduleOptions options(Schedule schedule) { return {.schedule = schedule, .peak = 2.0, .final_ratio = 0.1, .warmup_steps = 4, .total_steps = 14}; }

constexpr double kRounding = 1e-15;

TEST(Schedule, WarmsUpInEqualStepsToThePeak) {
  for (const auto& name : kScheduleNames) {
    const double expected[] = {0.5, 1.0, 1.5, 2.0};
    for (int64_t step = 0; step < 4; ++step) EXPECT_DOUBLE_EQ(learning_rate(options(name.second), step), expected[step]) << name.first;
  }
}

TEST(Schedule, ConstantStaysAtThePeak) {
  for (const int64_t step : {4, 9, 13, 1000}) EXPECT_EQ(learning_rate(options(Schedule::constant), step), 2.0);
}

TEST(Schedule, LinearFallsToTheFinalRatioAtTheLastStep) {
  EXPECT_NEAR(learning_rate(options(Schedule::linear), 4), 2.0, kRounding);
  EXPECT_NEAR(learning_rate(options(Schedule::linear), 7), 1.4, kRounding);  // 2 (1 - 0.9 / 3)
  EXPECT_NEAR(learning_rate(options(Schedule::linear), 13), 0.2, kRounding);
}

TEST(Schedule, CosineFallsToTheFinalRatioAtTheLastStep) {
  EXPECT_NEAR(learning_rate(options(Schedule::cosine), 4), 2.0, kRounding);
  EXPECT_NEAR(learning_rate(options(Schedule::cosine), 7), 1.55, kRounding);   // 2 (0.1 + 0.45 (1 + 1/2))
  EXPECT_NEAR(learning_rate(options(Schedule::cosine), 10), 0.65, kRounding);  // 2 (0.1 + 0.45 (1 - 1/2))
  EXPECT_NEAR(learning_rate(options(Schedule::cosine), 13), 0.2, kRounding);
}

TEST(Schedule, StepsBeyondTheLastKeepTheFinalRate) {
  EXPECT_NEAR(learning_rate(options(Schedule::linear), 99), 0.2, kRounding);
  EXPECT_NEAR(learning_rate(options(Schedule::cosine), 99), 0.2, kRounding);
}

TEST(Schedule, InverseSqrtContinuesTheWarmUpWithoutAJump) {
  EXPECT_NEAR(learning_rate(options(Schedule::inverse_sqrt), 4), 2.0 * std::sqrt(4.0 / 5.0), kRounding);
  EXPECT_NEAR(learning_rate(options(Schedule::inverse_sqrt), 15), 1.0, kRounding);
  EXPECT_NEAR(learning_rate({.schedule = Schedule::inverse_sqrt, .peak = 2.0, .warmup_steps = 0, .total_steps = 14}, 3), 1.0, kRounding);
}

TEST(Schedule, ARunOfOneStepTrainsAtThePeak) {
  for (const auto& name : kScheduleNames)
    EXPECT_EQ(learning_rate({.schedule = name.second, .peak = 3.0, .warmup_steps = 0, .total_steps = 1}, 0), 3.0) << name.first;
}

}  // namespace
}  // namespace everlong::train
