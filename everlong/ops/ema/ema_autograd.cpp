#include "everlong/ops/ema/ema_kernel.h"

#include <torch/csrc/autograd/custom_function.h>

#include "everlong/base/error.h"

namespace everlong::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

EmaArguments saved_arguments(AutogradContext* context) {
  const variable_list saved = context->get_saved_variables();
  return {saved[0], saved[1], saved[2], saved[3], saved[4], saved[5], context->saved_data["reverse"].toBool()};
}

/// The first derivative as a function of its own, so that a second one is refused instead of being silently zero.
struct EmaGradient : torch::autograd::Function<EmaGradient> {
  static variable_list forward(AutogradContext* /*context*/, const at::Tensor& x, const at::Tensor& q, const at::Tensor& c, const at::Tensor& state,
                               const at::Tensor& dy, const at::Tensor& dstate, const EmaArguments* arguments, EmaWanted wanted) {
    const EmaArguments a = {x, q, c, state, arguments->restart, arguments->lengths, arguments->reverse};
    const auto gradients = ema_kernel_backward(a, dy, dstate, wanted);
    return {gradients.x, gradients.q, gradients.c, gradients.state};
  }

  static variable_list backward(AutogradContext* /*context*/, const variable_list& /*gradients*/) {
    throw Unsupported(
        {.where = "ema", .expected = "to be differentiated once", .got = "a second derivative", .hint = "ema_reference has all of them"});
  }
};

struct EmaFunction : torch::autograd::Function<EmaFunction> {
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& q, const at::Tensor& c, const at::Tensor& state,
                               const at::Tensor& restart, const at::Tensor& lengths, bool reverse) {
    context->save_for_backward({x, q, c, state, restart, lengths});
    context->saved_data["reverse"] = reverse;
    context->set_materialize_grads(false);
    const auto result = ema_kernel_forward({x, q, c, state, restart, lengths, reverse});
    return {result.output, result.state};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    variable_list inputs(7);
    if (!gradients[0].defined() && !gradients[1].defined()) return inputs;
    const EmaArguments a = saved_arguments(context);
    const EmaWanted wanted = {context->needs_input_grad(0) || context->needs_input_grad(3),
                              context->needs_input_grad(1) || context->needs_input_grad(2)};
    const auto result = EmaGradient::apply(a.x, a.q, a.c, a.state, gradients[0], gradients[1], &a, wanted);
    for (size_t i = 0; i < 4; ++i) {
      if (context->needs_input_grad(i)) inputs[i] = result[i];
    }
    return inputs;
  }
};

}  // namespace

EmaResult ema_autograd(const EmaArguments& a) {
  const auto outputs = EmaFunction::apply(a.x, a.q, a.c, a.state, a.restart, a.lengths, a.reverse);
  return {outputs[0], outputs[1]};
}

}  // namespace everlong::ops
