#include <algorithm>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "everlong/bench/ema_bench.h"
#include "everlong/bench/kernel_rows.h"
#include "everlong/kernels/cpu/complex_ema.h"
#include "everlong/ops/complex_ema/complex_ema.h"
#include "everlong/tensor/parallel.h"

namespace everlong::bench {
namespace {

struct Inputs {
  at::Tensor x, dy, q, c, omega;
};

std::function<void()> kernel_forward(const Inputs& in) {
  const auto shape = ema_shape_of(in.x, in.q.size(1));
  const at::Tensor y = at::empty_like(in.x), state = at::empty({shape.batch_size, shape.model_dim, shape.ema_ndim, 2});
  const at::Tensor workspace = at::empty({kernels::complex_ema_forward_workspace(shape)});
  return [=] {
    kernels::complex_ema_forward({.shape = shape,
                                  .x = rows_of<const void*>(in.x),
                                  .y = rows_of<void*>(y),
                                  .q = in.q.data_ptr<float>(),
                                  .c = in.c.data_ptr<float>(),
                                  .omega = in.omega.data_ptr<float>(),
                                  .state_out = state.data_ptr<float>(),
                                  .workspace = workspace.data_ptr<float>()},
                                 parallel_for);
  };
}

std::function<void()> kernel_backward(const Inputs& in) {
  const auto shape = ema_shape_of(in.x, in.q.size(1));
  const at::Tensor dx = at::empty_like(in.x), dq = at::empty_like(in.q), dc = at::empty_like(in.c), domega = at::empty_like(in.omega);
  const at::Tensor workspace = at::empty({kernels::complex_ema_backward_workspace(shape)});
  return [=] {
    kernels::complex_ema_backward({.shape = shape,
                                   .x = rows_of<const void*>(in.x),
                                   .dy = rows_of<const void*>(in.dy),
                                   .dx = rows_of<void*>(dx),
                                   .q = in.q.data_ptr<float>(),
                                   .c = in.c.data_ptr<float>(),
                                   .omega = in.omega.data_ptr<float>(),
                                   .dq = dq.data_ptr<float>(),
                                   .dc = dc.data_ptr<float>(),
                                   .domega = domega.data_ptr<float>(),
                                   .workspace = workspace.data_ptr<float>()},
                                  parallel_for);
  };
}

std::function<void()> op_forward(const Inputs& in) {
  return [=] {
    const at::NoGradGuard no_grad;
    (void)ops::complex_ema(in.x, in.q, in.c, in.omega);
  };
}

std::function<void()> op_backward(const Inputs& in) {
  const at::Tensor x = leaf_of(in.x), q = leaf_of(in.q), c = leaf_of(in.c), omega = leaf_of(in.omega), y = ops::complex_ema(x, q, c, omega).output;
  return [=] { (void)torch::autograd::grad({y}, {x, q, c, omega}, {in.dy}, /*retain_graph=*/true); };
}

}  // namespace

std::vector<PeakMeasurement> measure_complex_ema(const EmaBenchOptions& options) {
  const auto rows = ema_rows(options, "bench complex-ema", [&](const at::Tensor& x, const at::Tensor& dy) {
    const int64_t D = options.model_dim, N = options.ema_ndim;
    const at::Tensor q = at::view_as_real(at::polar(0.5 + 0.49 * at::rand({D, N}), 6.28 * at::rand({D, N})));
    const Inputs in = {x, dy, q.contiguous(), at::randn({D, N, 2}), at::randn({D})};
    const double forward = 2 * (6 * static_cast<double>(N) + 1), sums = 2 * (12 * static_cast<double>(N) + 1);
    return EmaWork{forward, forward + sums, kernel_forward(in), kernel_backward(in), op_forward(in), op_backward(in)};
  });
  return measure_against_peak(rows, {.rounds = options.rounds, .seconds = options.seconds});
}

}  // namespace everlong::bench
