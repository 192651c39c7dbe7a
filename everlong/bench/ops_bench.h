#pragma once
// How fast single operations are, and what the machine can do at most.

#include <cstdint>
#include <optional>
#include <vector>

#include <c10/core/ScalarType.h>

#include "everlong/bench/measurement.h"

namespace everlong::bench {

struct OpBenchOptions {
  std::optional<int64_t> batch_size = {};    ///< none = the operation's own
  std::optional<int64_t> seq_len = {};       ///< likewise
  std::optional<at::ScalarType> dtype = {};  ///< none = fp32 and bf16
  int64_t repeat = 10;
  int max_threads = 2;  ///< EMA and roofs: with 1, 2, ... threads; the others use torch's pool as it is
};

/// The rows of measure_ema(), B 1, T 16384, D 768, N 16 unless told otherwise. Rates "gflops", "of_peak", "gb_per_s", at the best time.
/// Errors   Unsupported for another dtype than fp32 and bf16, here and below
[[nodiscard]] std::vector<Measurement> bench_ema(const OpBenchOptions& options);

/// Likewise the rows of measure_complex_ema().
[[nodiscard]] std::vector<Measurement> bench_complex_ema(const OpBenchOptions& options);

/// Causal softmax attention in chunks: B 1, T 16384, C 1024, Z 192, U 2304. Rate "gflops" of the products, at the best time.
[[nodiscard]] std::vector<Measurement> bench_attention(const OpBenchOptions& options);

/// Output matrix and cross-entropy in one: B 1, T 2048, D 768, V 50265. Rate as for attention.
[[nodiscard]] std::vector<Measurement> bench_cross_entropy(const OpBenchOptions& options);

/// One row (--batch-size, up to four) times a learned matrix of 768 inputs, as in decoding: 1,024 outputs that stay in a cache and a quarter of a million that do not,
/// bf16 packed as well. Rate "gb_per_s" of the matrix' bytes, at the best time.
[[nodiscard]] std::vector<Measurement> bench_linear(const OpBenchOptions& options);

/// Timestep norm: B 1, T 16384, D 768, G 32. Rates "gb_per_s" of the least traffic, at the best time, and "copy_gb_per_s" of the machine, measured
/// just before. "forward", "backward": the kernels on memory that exists; "op forward": with torch's allocations.
[[nodiscard]] std::vector<Measurement> bench_timestep_norm(const OpBenchOptions& options);

/// Multiply-adds and memory traffic that the machine reaches; no times.
[[nodiscard]] std::vector<Measurement> bench_roofs(const OpBenchOptions& options);

/// The dtypes to measure.
[[nodiscard]] std::vector<at::ScalarType> fast_dtypes(const OpBenchOptions& options);

}  // namespace everlong::bench
