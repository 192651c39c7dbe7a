#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "everlong/base/error.h"
#include "everlong/ops/ema/ema_tensors.h"
#include "everlong/ops/timestep_norm/timestep_norm_kernel.h"

namespace everlong::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr size_t kDifferentiated = 5;  // x, weight, bias, mean, variance: the first arguments

/// The first derivative as a function of its own, so that a second one is refused instead of being silently zero.
struct TimestepNormGradient : torch::autograd::Function<TimestepNormGradient> {
  static variable_list forward(AutogradContext* /*context*/, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                               const MaybeTensor& mean, const MaybeTensor& variance, const MaybeTensor& dy, const MaybeTensor& dmean,
                               const MaybeTensor& dvariance, const TimestepNormArguments* arguments, const TimestepNormSaved* saved) {
    TimestepNormArguments a = *arguments;
    a.x = x;
    a.weight = weight;
    a.bias = bias;
    a.mean = or_undefined(mean);
    a.variance = or_undefined(variance);
    const auto g = timestep_norm_kernel_backward(a, *saved, or_undefined(dy), or_undefined(dmean), or_undefined(dvariance));
    variable_list outputs = {g.x, g.weight, g.bias, g.mean, g.variance};
    for (auto& output : outputs) {
      if (!output.defined()) output = at::empty({0}, weight.options());  // autograd takes no undefined output; nobody reads this one
    }
    return outputs;
  }

  static variable_list backward(AutogradContext* /*context*/, const variable_list& /*gradients*/) {
    throw Unsupported({.where = "timestep_norm",
                       .expected = "to be differentiated once",
                       .got = "a second derivative",
                       .hint = "timestep_norm_reference has all of them"});
  }
};

struct TimestepNormFunction : torch::autograd::Function<TimestepNormFunction> {
  /// The tensors come one by one, because autograd follows only those; `rest` has the numbers.
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                               const MaybeTensor& mean, const MaybeTensor& variance, const TimestepNormArguments* rest) {
    TimestepNormArguments a = *rest;
    a.x = x;
    a.weight = weight;
    a.bias = bias;
    a.mean = or_undefined(mean);
    a.variance = or_undefined(variance);
    const TimestepNormForward forward = timestep_norm_kernel_forward(a, true);
    context->save_for_backward(
        {a.x, a.weight, a.bias, a.mean, a.variance, a.count, a.restart, a.lengths, a.mask, forward.saved.mean, forward.saved.rstd});
    context->saved_data["num_groups"] = a.num_groups;
    context->saved_data["count_cap"] = a.count_cap;
    context->saved_data["eps"] = a.eps;
    context->set_materialize_grads(false);
    const TimestepNormState& state = forward.result.state;
    context->mark_non_differentiable({state.count});
    return {forward.result.output, state.count, state.mean, state.variance};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    variable_list inputs(kDifferentiated + 1);
    const at::Tensor &dy = gradients[0], &dmean = gradients[2], &dvariance = gradients[3];
    if (!dy.defined() && !dmean.defined() && !dvariance.defined()) return inputs;
    const variable_list kept = context->get_saved_variables();
    const TimestepNormArguments a = {.x = kept[0],
                                     .weight = kept[1],
                                     .bias = kept[2],
                                     .count = kept[5],
                                     .mean = kept[3],
                                     .variance = kept[4],
                                     .restart = kept[6],
                                     .lengths = kept[7],
                                     .mask = kept[8],
                                     .num_groups = context->saved_data["num_groups"].toInt(),
                                     .count_cap = context->saved_data["count_cap"].toInt(),
                                     .eps = context->saved_data["eps"].toDouble()};
    const TimestepNormSaved saved = {.mean = kept[9], .rstd = kept[10]};
    variable_list found;
    if (at::GradMode::is_enabled()) {
      found =
          TimestepNormGradient::apply(a.x, a.weight, a.bias, maybe(a.mean), maybe(a.variance), maybe(dy), maybe(dmean), maybe(dvariance), &a, &saved);
    } else {
      const auto g = timestep_norm_kernel_backward(a, saved, dy, dmean, dvariance);
      found = {g.x, g.weight, g.bias, g.mean, g.variance};
    }
    for (size_t i = 0; i < kDifferentiated; ++i) {
      const bool given = i < 3 || a.mean.defined();
      if (given && context->needs_input_grad(i)) inputs[i] = found[i];
    }
    return inputs;
  }
};

}  // namespace

TimestepNormResult timestep_norm_autograd(const TimestepNormArguments& a) {
  const auto outputs = TimestepNormFunction::apply(a.x, a.weight, a.bias, maybe(a.mean), maybe(a.variance), &a);
  return {.output = outputs[0], .state = {.count = outputs[1], .mean = outputs[2], .variance = outputs[3]}};
}

}  // namespace everlong::ops
