#pragma once
// How fast the EMA is, against what the machine can do in the same run.

#include <cstdint>
#include <string>
#include <vector>

namespace everlong::bench {

struct EmaBenchOptions {
  int64_t batch_size = 1;
  int64_t seq_len = 16384;
  int64_t model_dim = 768;
  int64_t ema_ndim = 16;
  int max_threads = 2;
  int rounds = 0;      ///< turns of each row; 0 = as many as `seconds` allow, at least two
  double seconds = 4;  ///< of measuring, over all rows together
};

struct EmaMeasurement {
  std::string what;   ///< "forward", "backward": the kernel on memory that exists; "op forward", "op backward": with torch's allocations
  std::string dtype;  ///< "fp32" or "bf16"
  int num_threads = 1;
  double best_ms = 0;
  double median_ms = 0;
  double gflops = 0;   ///< at best_ms
  double of_peak = 0;  ///< of the fp32 multiply-add peak of as many threads; median over the turns, each against the peak measured just before
  double gb_s = 0;     ///< the least traffic (inputs read and outputs written once a pass) at best_ms
};

/// Runs every row in turn, a few calls each, again and again, so that a change of the machine's clock or load meets all of them.
/// Errors   InvalidArgument if a size is below 1
[[nodiscard]] std::vector<EmaMeasurement> measure_ema(const EmaBenchOptions& options);

}  // namespace everlong::bench
