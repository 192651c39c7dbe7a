#include <array>

#include "everlong/bench/ops_bench.h"
#include "everlong/ops/linear/linear.h"
#include "everlong/tensor/device.h"
#include "everlong/tensor/torch.h"

namespace everlong::bench {
namespace {

constexpr int64_t kIn = 768, kOut = 1024;

struct Place {
  const char* plain;
  const char* packed;
  int64_t times;  ///< kOut outputs
  int64_t calls;  ///< in one timed call
};
/// A matrix that stays in a cache, and one that no cache of today holds.
constexpr std::array<Place, 2> kPlaces{{{"cached matrix", "cached, packed", 1, 100}, {"matrix in memory", "in memory, packed", 256, 1}}};

Measurement measure(const char* what, const at::Tensor& x, const ops::Matrix& matrix, int64_t bytes, int64_t calls, int64_t repeat) {
  const Timing timing = time_calls(
      [&] {
        for (int64_t i = 0; i < calls; ++i) (void)ops::linear(x, matrix);
      },
      repeat);
  return {.target = "linear",
          .what = what,
          .dtype = std::string(dtype_name(x.scalar_type())),
          .num_threads = at::get_num_threads(),
          .best_ms = timing.best_ms / static_cast<double>(calls),
          .median_ms = timing.median_ms / static_cast<double>(calls),
          .rates = {{"gb_per_s", static_cast<double>(bytes * calls) / timing.best_ms * 1e-6}}};
}

}  // namespace

std::vector<Measurement> bench_linear(const OpBenchOptions& options) {
  const at::NoGradGuard no_grad;
  const int64_t B = options.batch_size.value_or(1);
  std::vector<Measurement> all;
  at::manual_seed(1);
  for (const at::ScalarType dtype : fast_dtypes(options)) {
    const at::Tensor x = at::randn({B, kIn}).to(dtype);
    for (const Place& place : kPlaces) {
      const at::Tensor weight = (at::randn({kOut, kIn}) / 50).to(dtype).repeat({place.times, 1});
      all.push_back(measure(place.plain, x, weight, static_cast<int64_t>(weight.nbytes()), place.calls, options.repeat));
      const ops::PackedMatrix packed(weight);
      if (packed.num_bytes() > 0)
        all.push_back(measure(place.packed, x, {weight, packed}, packed.num_bytes(), place.calls, options.repeat));
    }
  }
  return all;
}

}  // namespace everlong::bench
