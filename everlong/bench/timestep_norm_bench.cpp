#include <functional>

#include "everlong/bench/kernel_rows.h"
#include "everlong/bench/ops_bench.h"
#include "everlong/kernels/cpu/roofs.h"
#include "everlong/kernels/cpu/timestep_norm.h"
#include "everlong/ops/timestep_norm/timestep_norm.h"
#include "everlong/tensor/device.h"
#include "everlong/tensor/parallel.h"
#include "everlong/tensor/torch.h"

namespace everlong::bench {
namespace {

constexpr int64_t kModelDim = 768, kNumGroups = 32;

struct Inputs {
  at::Tensor x, dy, weight, bias;
};

/// The kernels' arguments, on memory that exists.
struct Kernels {
  explicit Kernels(const Inputs& in) : inputs(in) {
    shape = {.batch_size = in.x.size(0),
             .seq_len = in.x.size(1),
             .model_dim = kModelDim,
             .num_groups = kNumGroups,
             .element = ops::element_of(in.x),
             .eps = 1e-5};
    y = at::empty_like(in.x);
    mean = at::empty({shape.batch_size, shape.seq_len, kNumGroups}, at::kDouble);
    rstd = at::empty(mean.sizes(), at::kFloat);
    state = at::empty({2, shape.batch_size, kNumGroups}, at::kDouble);
    count = at::empty({shape.batch_size}, at::kLong);
    dweight = at::empty({2, kModelDim});
    workspace = at::empty({kernels::timestep_norm_backward_workspace(shape)}, at::kDouble);
  }

  void forward() const {
    kernels::timestep_norm_forward({.shape = shape,
                                    .x = rows_of<const void*>(inputs.x),
                                    .y = rows_of<void*>(y),
                                    .weight = inputs.weight.data_ptr<float>(),
                                    .bias = inputs.bias.data_ptr<float>(),
                                    .count_out = count.data_ptr<int64_t>(),
                                    .mean_out = state.data_ptr<double>(),
                                    .variance_out = state[1].data_ptr<double>(),
                                    .mean = mean.data_ptr<double>(),
                                    .rstd = rstd.data_ptr<float>()},
                                   parallel_for);
  }

  void backward() const {
    kernels::timestep_norm_backward({.shape = shape,
                                     .x = rows_of<const void*>(inputs.x),
                                     .dy = rows_of<const void*>(inputs.dy),
                                     .dx = rows_of<void*>(y),
                                     .weight = inputs.weight.data_ptr<float>(),
                                     .mean = mean.data_ptr<double>(),
                                     .rstd = rstd.data_ptr<float>(),
                                     .dweight = dweight.data_ptr<float>(),
                                     .dbias = dweight[1].data_ptr<float>(),
                                     .workspace = workspace.data_ptr<double>()},
                                    parallel_for);
  }

  Inputs inputs;
  kernels::TimestepNormShape shape;
  at::Tensor y, mean, rstd, state, count, dweight, workspace;
};

Measurement measure(const char* what, at::ScalarType dtype, int threads, int64_t repeat, double bytes, const std::function<void()>& call) {
  at::set_num_threads(threads);
  const double roof = kernels::measure_roofs(threads).copy_gb_s;
  const Timing timing = time_calls(call, repeat);
  return {.target = "timestep-norm",
          .what = what,
          .dtype = std::string(dtype_name(dtype)),
          .num_threads = threads,
          .best_ms = timing.best_ms,
          .median_ms = timing.median_ms,
          .rates = {{"gb_per_s", bytes / timing.best_ms * 1e-6}, {"copy_gb_per_s", roof}}};
}

}  // namespace

std::vector<Measurement> bench_timestep_norm(const OpBenchOptions& options) {
  const int64_t batch_size = options.batch_size.value_or(1), seq_len = options.seq_len.value_or(16384);
  const std::vector<at::ScalarType> dtypes = fast_dtypes(options);
  const int threads_before = at::get_num_threads();
  std::vector<Measurement> all;
  at::manual_seed(1);
  const at::Tensor x = at::randn({batch_size, seq_len, kModelDim}), dy = at::randn_like(x), none = at::zeros({kModelDim});
  for (const at::ScalarType dtype : dtypes) {
    const Kernels kernels({x.to(dtype), dy.to(dtype), none, none});
    const double pass = static_cast<double>(x.numel() * kernels.y.element_size());
    for (int threads = 1; threads <= options.max_threads; ++threads) {
      const auto add = [&](const char* what, double passes, const std::function<void()>& call) {
        all.push_back(measure(what, dtype, threads, options.repeat, passes * pass, call));
      };
      add("forward", 2, [&] { kernels.forward(); });
      add("backward", 3, [&] { kernels.backward(); });
      add("op forward", 2, [&] {
        const at::NoGradGuard no_grad;
        (void)ops::timestep_norm(kernels.inputs.x, none, none, kNumGroups);
      });
    }
  }
  at::set_num_threads(threads_before);
  return all;
}

}  // namespace everlong::bench
