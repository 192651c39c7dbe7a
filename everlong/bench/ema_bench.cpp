#include "everlong/bench/ema_bench.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "everlong/base/error.h"
#include "everlong/bench/kernel_rows.h"
#include "everlong/kernels/cpu/ema.h"
#include "everlong/ops/ema/ema.h"
#include "everlong/tensor/parallel.h"

namespace everlong::bench {
namespace {

struct Inputs {
  at::Tensor x, dy, q, c;
};

std::function<void()> kernel_forward(const Inputs& in) {
  const auto shape = ema_shape_of(in.x, in.q.size(1));
  const at::Tensor y = at::empty_like(in.x), state = at::empty({shape.batch_size, shape.model_dim, shape.ema_ndim});
  const at::Tensor workspace = at::empty({kernels::ema_forward_workspace(shape)});
  return [=] {
    kernels::ema_forward({.shape = shape,
                          .x = rows_of<const void*>(in.x),
                          .y = rows_of<void*>(y),
                          .q = in.q.data_ptr<float>(),
                          .c = in.c.data_ptr<float>(),
                          .state_out = state.data_ptr<float>(),
                          .workspace = workspace.data_ptr<float>()},
                         parallel_for);
  };
}

std::function<void()> kernel_backward(const Inputs& in) {
  const auto shape = ema_shape_of(in.x, in.q.size(1));
  const at::Tensor dx = at::empty_like(in.x), dq = at::empty_like(in.q), dc = at::empty_like(in.c);
  const at::Tensor workspace = at::empty({kernels::ema_backward_workspace(shape)});
  return [=] {
    kernels::ema_backward({.shape = shape,
                           .x = rows_of<const void*>(in.x),
                           .dy = rows_of<const void*>(in.dy),
                           .dx = rows_of<void*>(dx),
                           .q = in.q.data_ptr<float>(),
                           .c = in.c.data_ptr<float>(),
                           .dq = dq.data_ptr<float>(),
                           .dc = dc.data_ptr<float>(),
                           .workspace = workspace.data_ptr<float>()},
                          parallel_for);
  };
}

std::function<void()> op_forward(const Inputs& in) {
  return [=] {
    const at::NoGradGuard no_grad;
    (void)ops::ema(in.x, in.q, in.c);
  };
}

std::function<void()> op_backward(const Inputs& in) {
  const at::Tensor x = leaf_of(in.x), q = leaf_of(in.q), c = leaf_of(in.c), y = ops::ema(x, q, c).output;
  return [=] { (void)torch::autograd::grad({y}, {x, q, c}, {in.dy}, /*retain_graph=*/true); };
}

}  // namespace

std::vector<PeakRow> ema_rows(const EmaBenchOptions& options, const char* where,
                              const std::function<EmaWork(const at::Tensor& x, const at::Tensor& dy)>& work_of) {
  require(std::min({options.batch_size, options.seq_len, options.model_dim, options.ema_ndim, int64_t{options.max_threads}}) >= 1,
          [&] { return Complaint{.where = where, .expected = "every size at least 1"}; });
  at::manual_seed(1);
  const auto sizes = at::IntArrayRef{options.batch_size, options.seq_len, options.model_dim}.vec();
  const at::Tensor x = at::randn(sizes), dy = at::randn(sizes);
  const double elements = static_cast<double>(x.numel());
  std::vector<PeakRow> rows;
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const at::Tensor own_x = x.to(dtype);
    const EmaWork work = work_of(own_x, dy.to(dtype));
    const double pass = static_cast<double>(own_x.element_size()) * elements;
    for (int threads = 1; threads <= options.max_threads; ++threads) {
      const auto add = [&](const char* what, double operations, double passes, const std::function<void()>& call) {
        rows.push_back(
            {.what = what, .dtype = dtype, .num_threads = threads, .operations = operations * elements, .bytes = passes * pass, .call = call});
      };
      add("forward", work.forward_operations, 2, work.forward);
      add("backward", work.backward_operations, 4, work.backward);  // x, dy, dy again, dx
      add("op forward", work.forward_operations, 2, work.op_forward);
      add("op backward", work.backward_operations, 4, work.op_backward);
    }
  }
  return rows;
}

std::vector<PeakMeasurement> measure_ema(const EmaBenchOptions& options) {
  const auto rows = ema_rows(options, "bench ema", [&](const at::Tensor& x, const at::Tensor& dy) {
    const std::vector<int64_t> sizes = {options.model_dim, options.ema_ndim};
    const Inputs in = {x, dy, 0.5 + 0.49 * at::rand(sizes), at::randn(sizes)};
    const double forward = 4 * static_cast<double>(options.ema_ndim);
    return EmaWork{forward, 3 * forward, kernel_forward(in), kernel_backward(in), op_forward(in), op_backward(in)};
  });
  return measure_against_peak(rows, {.rounds = options.rounds, .seconds = options.seconds});
}

}  // namespace everlong::bench
