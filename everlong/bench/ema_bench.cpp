#include "everlong/bench/ema_bench.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include "everlong/base/error.h"
#include "everlong/kernels/cpu/ema.h"
#include "everlong/kernels/cpu/roofs.h"
#include "everlong/ops/ema/ema.h"
#include "everlong/tensor/parallel.h"

namespace everlong::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kCallsInTurn = 8;  // of one row, one after the other: as a layer meets what the layer before has just written

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Inputs {
  at::Tensor x, dy, q, c;
};

/// A kernel on memory of its own, and what one call of it costs.
struct Row {
  EmaMeasurement measurement;
  double operations = 0;
  double bytes = 0;
  std::function<void()> call;
  std::vector<double> seconds = {};
  std::vector<double> shares = {};  ///< of the peak measured just before, a turn each
};

kernels::EmaShape shape_of(const Inputs& in) {
  return {.batch_size = in.x.size(0),
          .seq_len = in.x.size(1),
          .model_dim = in.x.size(2),
          .ema_ndim = in.q.size(1),
          .element = in.x.scalar_type() == at::kFloat ? kernels::Element::kFloat : kernels::Element::kBFloat16};
}

template <class Rows>
Rows rows_of(const at::Tensor& tensor) {
  return {tensor.data_ptr(), tensor.stride(0), tensor.stride(1)};
}

std::function<void()> kernel_forward(const Inputs& in) {
  const auto shape = shape_of(in);
  const at::Tensor y = at::empty_like(in.x), state = at::empty({shape.batch_size, shape.model_dim, shape.ema_ndim});
  const at::Tensor workspace = at::empty({kernels::ema_forward_workspace(shape)});
  return [=] {
    kernels::ema_forward({.shape = shape,
                          .x = rows_of<kernels::ConstRows>(in.x),
                          .y = rows_of<kernels::MutableRows>(y),
                          .q = in.q.data_ptr<float>(),
                          .c = in.c.data_ptr<float>(),
                          .state_out = state.data_ptr<float>(),
                          .workspace = workspace.data_ptr<float>()},
                         parallel_for);
  };
}

std::function<void()> kernel_backward(const Inputs& in) {
  const auto shape = shape_of(in);
  const at::Tensor dx = at::empty_like(in.x), dq = at::empty_like(in.q), dc = at::empty_like(in.c);
  const at::Tensor workspace = at::empty({kernels::ema_backward_workspace(shape)});
  return [=] {
    kernels::ema_backward({.shape = shape,
                           .x = rows_of<kernels::ConstRows>(in.x),
                           .dy = rows_of<kernels::ConstRows>(in.dy),
                           .dx = rows_of<kernels::MutableRows>(dx),
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
  const auto leaf = [](const at::Tensor& tensor) { return tensor.detach().clone().requires_grad_(true); };
  const at::Tensor x = leaf(in.x), q = leaf(in.q), c = leaf(in.c), y = ops::ema(x, q, c).output;
  return [=] { (void)torch::autograd::grad({y}, {x, q, c}, {in.dy}, /*retain_graph=*/true); };
}

std::vector<Row> make_rows(const EmaBenchOptions& options) {
  at::manual_seed(1);
  const auto sizes = at::IntArrayRef{options.batch_size, options.seq_len, options.model_dim}.vec();
  const at::Tensor x = at::randn(sizes), dy = at::randn(sizes);
  const at::Tensor q = 0.5 + 0.49 * at::rand({options.model_dim, options.ema_ndim}), c = at::randn({options.model_dim, options.ema_ndim});
  const double elements = static_cast<double>(x.numel()), forward = 4 * elements * static_cast<double>(options.ema_ndim);
  std::vector<Row> rows;
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const Inputs in = {x.to(dtype), dy.to(dtype), q, c};
    const double item = static_cast<double>(in.x.element_size());
    for (int threads = 1; threads <= options.max_threads; ++threads) {
      const auto add = [&](const char* what, double operations, double passes, std::function<void()> call) {
        rows.push_back({{.what = what, .dtype = dtype == at::kFloat ? "fp32" : "bf16", .num_threads = threads},
                        operations,
                        passes * item * elements,
                        std::move(call)});
      };
      add("forward", forward, 2, kernel_forward(in));
      add("backward", 3 * forward, 4, kernel_backward(in));  // x, dy, dy again, dx
      add("op forward", forward, 2, op_forward(in));
      add("op backward", 3 * forward, 4, op_backward(in));
    }
  }
  return rows;
}

/// A few calls, one after the other, right after a measurement of what the cores can do at that moment.
void take_turn(Row& row) {
  at::set_num_threads(row.measurement.num_threads);
  const double peak = kernels::measure_fp32_gflops(row.measurement.num_threads);
  double best = std::numeric_limits<double>::infinity();
  for (int call = 0; call < kCallsInTurn; ++call) {
    const auto begin = Clock::now();
    row.call();
    if (call == 0) continue;  // it brings the row's memory near
    row.seconds.push_back(seconds_since(begin));
    best = std::min(best, row.seconds.back());
  }
  row.shares.push_back(row.operations / best * 1e-9 / peak);
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<int64_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

void finish(Row& row) {
  EmaMeasurement& m = row.measurement;
  const double best = *std::min_element(row.seconds.begin(), row.seconds.end());
  m.best_ms = best * 1e3;
  m.median_ms = median(row.seconds) * 1e3;
  m.gflops = row.operations / best * 1e-9;
  m.of_peak = median(row.shares);
  m.gb_s = row.bytes / best * 1e-9;
}

}  // namespace

std::vector<EmaMeasurement> measure_ema(const EmaBenchOptions& options) {
  require(std::min({options.batch_size, options.seq_len, options.model_dim, options.ema_ndim, int64_t{options.max_threads}}) >= 1,
          [] { return Complaint{.where = "bench ema", .expected = "every size at least 1"}; });
  std::vector<Row> rows = make_rows(options);
  const int threads_before = at::get_num_threads();
  const auto start = Clock::now();
  const auto wanted = [&](int round) { return options.rounds > 0 ? round < options.rounds : round < 2 || seconds_since(start) < options.seconds; };
  for (int round = 0; wanted(round); ++round) {
    for (auto& row : rows) take_turn(row);
  }
  at::set_num_threads(threads_before);
  std::vector<EmaMeasurement> measurements;
  for (auto& row : rows) {
    finish(row);
    measurements.push_back(row.measurement);
  }
  return measurements;
}

}  // namespace everlong::bench
