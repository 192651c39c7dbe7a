#pragma once
// What this machine can do at most, measured in the same run as the kernels that are held against it.

#include <cstdint>

namespace everlong::kernels {

/// Rates with `num_threads` threads; each is the best of a few short runs.
struct Roofs {
  int num_threads = 1;
  double fp32_gflops = 0;      ///< fused multiply-adds on registers, two operations each
  double bf16_dot_gflops = 0;  ///< bf16 pair products summed in fp32; 0 where the processor has no such instruction
  double read_gb_s = 0;        ///< from memory
  double copy_gb_s = 0;        ///< from memory to memory, bytes read and bytes written both counted
};

struct RoofOptions {
  double seconds = 0.2;                ///< about how long the measurement takes
  int64_t buffer_bytes = 768LL << 20;  ///< of all threads together; larger than the caches they share, or reads come from there
};

/// Measures with threads of its own. Other work on the machine lowers the result.
/// Errors   InvalidArgument if `num_threads` is not in [1, 4096] or the buffer is smaller than 1 MiB a thread
[[nodiscard]] Roofs measure_roofs(int num_threads, const RoofOptions& options = {});

/// Only fp32_gflops, in about `seconds`: cheap enough to interleave with the runs of a kernel.
[[nodiscard]] double measure_fp32_gflops(int num_threads, double seconds = 0.02);

}  // namespace everlong::kernels
