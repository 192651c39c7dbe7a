#include "everlong/report/series.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace everlong::report {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

}  // namespace

std::vector<size_t> thin(std::span<const double> values, size_t buckets) {
  std::vector<size_t> finite;
  for (size_t i = 0; i < values.size(); ++i)
    if (std::isfinite(values[i])) finite.push_back(i);
  buckets = std::max<size_t>(buckets, 1);
  if (finite.size() <= 2 * buckets + 2) return finite;

  std::vector<size_t> kept = {finite.front()};
  const auto less = [&](size_t a, size_t b) { return values[a] < values[b]; };
  for (size_t bucket = 0; bucket < buckets; ++bucket) {
    const auto begin = finite.begin() + static_cast<std::ptrdiff_t>(bucket * finite.size() / buckets);
    const auto end = finite.begin() + static_cast<std::ptrdiff_t>((bucket + 1) * finite.size() / buckets);
    const auto extremes = std::minmax_element(begin, end, less);
    kept.push_back(std::min(*extremes.first, *extremes.second));
    kept.push_back(std::max(*extremes.first, *extremes.second));
  }
  kept.push_back(finite.back());
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
  return kept;
}

std::vector<double> smooth(std::span<const double> values, double window) {
  const double decay = window > 1 ? (window - 1) / (window + 1) : 0;
  double mean = 0;
  double weight = 0;
  std::vector<double> out;
  out.reserve(values.size());
  for (const double value : values) {
    if (!std::isfinite(value)) {
      out.push_back(kNone);
      continue;
    }
    mean = decay * mean + (1 - decay) * value;
    weight = decay * weight + (1 - decay);
    out.push_back(mean / weight);
  }
  return out;
}

double median(std::vector<double> values) {
  std::erase_if(values, [](double value) { return !std::isfinite(value); });
  if (values.empty()) return kNone;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

double greatest(std::span<const double> values) {
  double best = kNone;
  for (const double value : values)
    if (std::isfinite(value) && !(value <= best)) best = value;
  return best;
}

double mean_of_last(std::span<const double> values, size_t count) {
  double sum = 0;
  size_t found = 0;
  for (size_t i = values.size(); i-- > 0 && found < count;) {
    if (!std::isfinite(values[i])) continue;
    sum += values[i];
    ++found;
  }
  return found == 0 ? kNone : sum / static_cast<double>(found);
}

}  // namespace everlong::report
