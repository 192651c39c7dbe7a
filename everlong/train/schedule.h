#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

namespace everlong::train {

enum class Schedule { constant, linear, cosine, inverse_sqrt };

inline constexpr std::array<std::pair<std::string_view, Schedule>, 4> kScheduleNames{
    {{"constant", Schedule::constant}, {"linear", Schedule::linear}, {"cosine", Schedule::cosine}, {"inverse_sqrt", Schedule::inverse_sqrt}}};

struct ScheduleOptions {
  Schedule schedule = Schedule::cosine;
  double peak = 1e-3;        ///< learning rate after the warm-up
  double final_ratio = 0.0;  ///< of the peak, reached at the last step by linear and cosine
  int64_t warmup_steps = 0;
  int64_t total_steps = 1;
};

/// Learning rate of the step with index `step` (from 0).
/// Math     warm-up: peak (step + 1) / warmup; then with u in [0, 1] the way from its end to the last step: constant peak;
///          linear peak (1 - (1 - r) u); cosine peak (r + (1 - r) (1 + cos(pi u)) / 2); inverse_sqrt peak sqrt(max(1, warmup) / (step + 1))
[[nodiscard]] double learning_rate(const ScheduleOptions& options, int64_t step);

}  // namespace everlong::train
