#include "everlong/bench/peak_rows.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include <ATen/Parallel.h>

#include "everlong/kernels/cpu/roofs.h"

namespace everlong::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kCallsInTurn = 8;  // of one row, one after the other: as a layer meets what the layer before has just written

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Times {
  std::vector<double> seconds = {};
  std::vector<double> shares = {};  ///< of the peak measured just before, a turn each
};

/// A few calls, one after the other, right after a measurement of what the cores can do at that moment.
void take_turn(const PeakRow& row, Times& times) {
  at::set_num_threads(row.num_threads);
  const double peak = kernels::measure_fp32_gflops(row.num_threads);
  double best = std::numeric_limits<double>::infinity();
  for (int call = 0; call < kCallsInTurn; ++call) {
    const auto begin = Clock::now();
    row.call();
    if (call == 0) continue;  // it brings the row's memory near
    times.seconds.push_back(seconds_since(begin));
    best = std::min(best, times.seconds.back());
  }
  times.shares.push_back(row.operations / best * 1e-9 / peak);
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<int64_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

PeakMeasurement measurement_of(const PeakRow& row, const Times& times) {
  const double best = *std::min_element(times.seconds.begin(), times.seconds.end());
  return {.what = row.what,
          .dtype = row.dtype == at::kBFloat16 ? "bf16" : "fp32",
          .num_threads = row.num_threads,
          .best_ms = best * 1e3,
          .median_ms = median(times.seconds) * 1e3,
          .gflops = row.operations / best * 1e-9,
          .of_peak = median(times.shares),
          .gb_s = row.bytes / best * 1e-9};
}

}  // namespace

std::vector<PeakMeasurement> measure_against_peak(const std::vector<PeakRow>& rows, const PeakBenchOptions& options) {
  const int threads_before = at::get_num_threads();
  const auto start = Clock::now();
  const auto wanted = [&](int round) { return options.rounds > 0 ? round < options.rounds : round < 2 || seconds_since(start) < options.seconds; };
  std::vector<Times> times(rows.size());
  for (int round = 0; wanted(round); ++round) {
    for (size_t i = 0; i < rows.size(); ++i) take_turn(rows[i], times[i]);
  }
  at::set_num_threads(threads_before);
  std::vector<PeakMeasurement> measurements;
  for (size_t i = 0; i < rows.size(); ++i) measurements.push_back(measurement_of(rows[i], times[i]));
  return measurements;
}

}  // namespace everlong::bench
