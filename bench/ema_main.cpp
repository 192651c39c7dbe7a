// ema_bench [T D N B seconds]: the EMA's speed on this machine, as a table on stdout.

#include <cstdio>
#include <cstdlib>
#include <exception>

#include "everlong/bench/ema_bench.h"
#include "everlong/kernels/cpu/ema.h"
#include "everlong/kernels/cpu/roofs.h"

int main(int argc, char** argv) {
  try {
    everlong::bench::EmaBenchOptions options;
    if (argc > 1) options.seq_len = std::atoll(argv[1]);
    if (argc > 2) options.model_dim = std::atoll(argv[2]);
    if (argc > 3) options.ema_ndim = std::atoll(argv[3]);
    if (argc > 4) options.batch_size = std::atoll(argv[4]);
    if (argc > 5) options.seconds = std::atof(argv[5]);
    for (int threads = 1; threads <= options.max_threads; ++threads) {
      const auto roofs = everlong::kernels::measure_roofs(threads);
      std::printf("roofs, %d thread%s: fp32 %.1f GFLOP/s, bf16 dot %.1f GFLOP/s, read %.1f GB/s, copy %.1f GB/s\n", threads, threads == 1 ? "" : "s",
                  roofs.fp32_gflops, roofs.bf16_dot_gflops, roofs.read_gb_s, roofs.copy_gb_s);
    }
    std::printf("B %lld T %lld D %lld N %lld, %s\n", static_cast<long long>(options.batch_size), static_cast<long long>(options.seq_len),
                static_cast<long long>(options.model_dim), static_cast<long long>(options.ema_ndim), everlong::kernels::ema_target());
    std::fputs(everlong::bench::ema_table(everlong::bench::measure_ema(options)).c_str(), stdout);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
