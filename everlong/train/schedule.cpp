#include "everlong/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace everlong::train {

double learning_rate(const ScheduleOptions& options, int64_t step) {
  const auto warmup = static_cast<double>(options.warmup_steps);
  if (step < options.warmup_steps) return options.peak * static_cast<double>(step + 1) / warmup;
  const double span = std::max<double>(1.0, static_cast<double>(options.total_steps - 1 - options.warmup_steps));
  const double way = std::clamp((static_cast<double>(step) - warmup) / span, 0.0, 1.0);
  const double ratio = options.final_ratio;
  switch (options.schedule) {
    case Schedule::constant: return options.peak;
    case Schedule::linear: return options.peak * (1.0 - (1.0 - ratio) * way);
    case Schedule::cosine: return options.peak * (ratio + (1.0 - ratio) * 0.5 * (1.0 + std::cos(std::numbers::pi * way)));
    case Schedule::inverse_sqrt: return options.peak * std::sqrt(std::max(1.0, warmup) / static_cast<double>(step + 1));
  }
  return options.peak;
}

}  // namespace everlong::train
