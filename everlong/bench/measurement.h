#pragma once
// What every measurement has in common, and how calls are timed.

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <c10/core/Device.h>

namespace everlong::bench {

/// One thing that was timed, several times.
struct Measurement {
  std::string target;  ///< operation, model directory or preset
  std::string what;    ///< "forward", "decode"
  std::string dtype;   ///< "f32", "bf16"; empty where there is none
  int num_threads = 1;
  double best_ms = 0;
  double median_ms = 0;
  std::vector<std::pair<std::string, double>> rates = {};  ///< "gflops", "tokens_per_s", ...: the same names for all of a target
};

struct Timing {
  double best_ms = 0;
  double median_ms = 0;
};

/// Times `repeat` calls after one that warms up; waits for the device before it reads the clock. `prepare` comes before each of them, untimed.
/// Errors   InvalidArgument if `repeat` is below 1
[[nodiscard]] Timing time_calls(const std::function<void()>& call, int64_t repeat, at::Device device = at::kCPU, const std::function<void()>& prepare = {});

/// The most memory that the process held while this object lived.
class PeakMemory {
 public:
  PeakMemory();  ///< starts anew where the kernel allows it; else the peak is that of the whole process
  [[nodiscard]] int64_t bytes() const;
};

}  // namespace everlong::bench
