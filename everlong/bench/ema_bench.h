#pragma once
// How fast the EMA and the complex EMA are, against what the machine can do in the same run.

#include <cstdint>
#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "everlong/bench/peak_rows.h"

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

/// Measures "forward" and "backward" of the kernels and "op forward" and "op backward", in fp32 and bf16, with 1, 2, ... threads.
/// Errors   InvalidArgument if a size is below 1
[[nodiscard]] std::vector<PeakMeasurement> measure_ema(const EmaBenchOptions& options);

/// The same of the complex EMA.
[[nodiscard]] std::vector<PeakMeasurement> measure_complex_ema(const EmaBenchOptions& options);

/// The work of one kind of EMA on given inputs: its four rows, and what a pass costs.
struct EmaWork {
  double forward_operations = 0;   ///< an element of x, two a multiply-add
  double backward_operations = 0;  ///< likewise
  std::function<void()> forward, backward, op_forward, op_backward;
};

/// Rows for each dtype and number of threads; `work_of` makes the calls for x and dy of one dtype.
[[nodiscard]] std::vector<PeakRow> ema_rows(const EmaBenchOptions& options, const char* where,
                                            const std::function<EmaWork(const at::Tensor& x, const at::Tensor& dy)>& work_of);

}  // namespace everlong::bench
