#include "everlong/bench/ops_bench.h"

#include <functional>

#include "everlong/base/error.h"
#include "everlong/bench/ema_bench.h"
#include "everlong/kernels/cpu/roofs.h"
#include "everlong/ops/chunk_attention/chunk_attention.h"
#include "everlong/ops/linear_cross_entropy/linear_cross_entropy.h"
#include "everlong/tensor/device.h"
#include "everlong/tensor/torch.h"

namespace everlong::bench {
namespace {

std::vector<at::ScalarType> dtypes_of(const OpBenchOptions& options) {
  if (!options.dtype) return {at::kFloat, at::kBFloat16};
  if (*options.dtype != at::kFloat && *options.dtype != at::kBFloat16)
    throw Unsupported(
        {.where = "bench", .expected = "f32 or bf16", .got = std::string(dtype_name(*options.dtype)), .hint = "only those have fast kernels"});
  return {*options.dtype};
}

Measurement measure(const char* target, const char* what, at::ScalarType dtype, double operations, int64_t repeat,
                    const std::function<void()>& call) {
  const Timing timing = time_calls(call, repeat);
  return {.target = target,
          .what = what,
          .dtype = std::string(dtype_name(dtype)),
          .num_threads = at::get_num_threads(),
          .best_ms = timing.best_ms,
          .median_ms = timing.median_ms,
          .rates = {{"gflops", operations / timing.best_ms * 1e-6}}};
}

std::vector<Measurement> bench_scan(const char* target, std::vector<PeakMeasurement> (*measure_scan)(const EmaBenchOptions&),
                                    const OpBenchOptions& options) {
  EmaBenchOptions how{.max_threads = options.max_threads, .rounds = static_cast<int>(options.repeat)};
  how.batch_size = options.batch_size.value_or(how.batch_size);
  how.seq_len = options.seq_len.value_or(how.seq_len);
  const auto dtypes = dtypes_of(options);
  std::vector<Measurement> all;
  for (const PeakMeasurement& row : measure_scan(how)) {
    const at::ScalarType dtype = row.dtype == "bf16" ? at::kBFloat16 : at::kFloat;
    if (std::find(dtypes.begin(), dtypes.end(), dtype) == dtypes.end()) continue;
    all.push_back({.target = target,
                   .what = row.what,
                   .dtype = std::string(dtype_name(dtype)),
                   .num_threads = row.num_threads,
                   .best_ms = row.best_ms,
                   .median_ms = row.median_ms,
                   .rates = {{"gflops", row.gflops}, {"of_peak", row.of_peak}, {"gb_per_s", row.gb_s}}});
  }
  return all;
}

}  // namespace

std::vector<at::ScalarType> fast_dtypes(const OpBenchOptions& options) { return dtypes_of(options); }

std::vector<Measurement> bench_ema(const OpBenchOptions& options) { return bench_scan("ema", measure_ema, options); }

std::vector<Measurement> bench_complex_ema(const OpBenchOptions& options) { return bench_scan("complex-ema", measure_complex_ema, options); }

std::vector<Measurement> bench_attention(const OpBenchOptions& options) {
  constexpr int64_t C = 1024, Z = 192, U = 2304;
  const int64_t B = options.batch_size.value_or(1), T = options.seq_len.value_or(16384), chunk = std::min(C, T);
  const double scores = static_cast<double>(B * T) * static_cast<double>(chunk);
  const double forward = 2 * scores * static_cast<double>(Z + U), backward = 2 * scores * static_cast<double>(3 * Z + 2 * U);
  const auto plan = ops::plan_chunks(B, T, {.chunk_size = chunk});
  std::vector<Measurement> all;
  at::manual_seed(1);
  for (const at::ScalarType dtype : dtypes_of(options)) {
    const auto random = [&](int64_t width) { return at::randn({B, T, width}).to(dtype); };
    at::Tensor q = random(Z), k = random(Z), v = random(U), bias = at::randn({2 * chunk - 1});
    const at::Tensor incoming = random(U);
    const auto call = [&] { return ops::chunk_attention(q, k, v, bias, plan.pieces); };
    all.push_back(measure("attention", "forward", dtype, forward, options.repeat, [&] {
      const at::NoGradGuard no_grad;
      (void)call();
    }));
    for (at::Tensor* tensor : {&q, &k, &v, &bias}) tensor->requires_grad_(true);
    all.push_back(measure("attention", "forward and backward", dtype, forward + backward, options.repeat, [&] {
      (void)torch::autograd::grad({call()}, {q, k, v, bias}, {incoming});
    }));
  }
  return all;
}

std::vector<Measurement> bench_cross_entropy(const OpBenchOptions& options) {
  constexpr int64_t D = 768, V = 50265;
  const int64_t tokens = options.batch_size.value_or(1) * options.seq_len.value_or(2048);
  const double product = 2 * static_cast<double>(tokens * D) * static_cast<double>(V);
  std::vector<Measurement> all;
  at::manual_seed(1);
  for (const at::ScalarType dtype : dtypes_of(options)) {
    at::Tensor hidden = at::randn({tokens, D}).to(dtype), weight = (at::randn({V, D}) / 16).to(dtype);
    const at::Tensor targets = at::randint(V, {tokens}, at::kLong);
    const auto call = [&] { return ops::linear_cross_entropy(hidden, weight, {}, targets).loss; };
    all.push_back(measure("cross-entropy", "forward", dtype, product, options.repeat, [&] {
      const at::NoGradGuard no_grad;
      (void)call();
    }));
    for (at::Tensor* tensor : {&hidden, &weight}) tensor->requires_grad_(true);
    all.push_back(measure("cross-entropy", "forward and backward", dtype, 3 * product, options.repeat, [&] {
      (void)torch::autograd::grad({call()}, {hidden, weight});
    }));
  }
  return all;
}

std::vector<Measurement> bench_roofs(const OpBenchOptions& options) {
  std::vector<Measurement> all;
  for (int threads = 1; threads <= options.max_threads; ++threads) {
    const kernels::Roofs roofs = kernels::measure_roofs(threads);
    all.push_back({.target = "roofs",
                   .what = "machine",
                   .num_threads = threads,
                   .rates = {{"fp32_gflops", roofs.fp32_gflops},
                             {"bf16_dot_gflops", roofs.bf16_dot_gflops},
                             {"read_gb_per_s", roofs.read_gb_s},
                             {"copy_gb_per_s", roofs.copy_gb_s}}});
  }
  return all;
}

}  // namespace everlong::bench
