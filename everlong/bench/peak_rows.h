#pragma once
// Kernels that are held against the multiply-add peak of the same moment.

#include <functional>
#include <string>
#include <vector>

#include <c10/core/ScalarType.h>

namespace everlong::bench {

struct PeakMeasurement {
  std::string what;   ///< "forward", "backward": the kernel on memory that exists; "op forward", "op backward": with torch's allocations
  std::string dtype;  ///< "fp32" or "bf16"
  int num_threads = 1;
  double best_ms = 0;
  double median_ms = 0;
  double gflops = 0;   ///< at best_ms
  double of_peak = 0;  ///< of the fp32 multiply-add peak of as many threads; median over the turns, each against the peak measured just before
  double gb_s = 0;     ///< the least traffic (inputs read and outputs written once a pass) at best_ms
};

/// Something to call, and what one call of it costs.
struct PeakRow {
  std::string what;
  at::ScalarType dtype = at::kFloat;
  int num_threads = 1;
  double operations = 0;  ///< two a multiply-add
  double bytes = 0;
  std::function<void()> call;
};

struct PeakBenchOptions {
  int rounds = 0;      ///< turns of each row; 0 = as many as `seconds` allow, at least two
  double seconds = 4;  ///< of measuring, over all rows together
};

/// Runs every row in turn, a few calls each, again and again, so that a change of the machine's clock or load meets all of them.
[[nodiscard]] std::vector<PeakMeasurement> measure_against_peak(const std::vector<PeakRow>& rows, const PeakBenchOptions& options);

}  // namespace everlong::bench
