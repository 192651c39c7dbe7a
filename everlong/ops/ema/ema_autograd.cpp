#include "everlong/ops/ema/ema_kernel.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "everlong/base/error.h"
#include "everlong/ops/ema/ema_tensors.h"

namespace everlong::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

EmaArguments saved_arguments(AutogradContext* context) {
  const variable_list saved = context->get_saved_variables();
  return {saved[0], saved[1], saved[2], saved[3], saved[4], saved[5], context->saved_data["reverse"].toBool()};
}

variable_list listed(const EmaGradients& gradients) { return {gradients.x, gradients.q, gradients.c, gradients.state}; }

/// The first derivative as a function of its own, so that a second one is refused instead of being silently zero.
struct EmaGradient : torch::autograd::Function<EmaGradient> {
  static variable_list forward(AutogradContext* /*context*/, const at::Tensor& x, const at::Tensor& q, const at::Tensor& c, const MaybeTensor& state,
                               const MaybeTensor& dy, const MaybeTensor& dstate, const EmaArguments* arguments, EmaWanted wanted) {
    const EmaArguments a = {x, q, c, or_undefined(state), arguments->restart, arguments->lengths, arguments->reverse};
    variable_list outputs = listed(ema_kernel_backward(a, or_undefined(dy), or_undefined(dstate), wanted));
    for (auto& output : outputs) {
      if (!output.defined()) output = at::empty({0}, q.options());  // autograd takes no undefined output; nobody reads this one
    }
    return outputs;
  }

  static variable_list backward(AutogradContext* /*context*/, const variable_list& /*gradients*/) {
    throw Unsupported(
        {.where = "ema", .expected = "to be differentiated once", .got = "a second derivative", .hint = "ema_reference has all of them"});
  }
};

struct EmaFunction : torch::autograd::Function<EmaFunction> {
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& q, const at::Tensor& c, const MaybeTensor& state,
                               const MaybeTensor& restart, const MaybeTensor& lengths, bool reverse) {
    const EmaArguments a = {x, q, c, or_undefined(state), or_undefined(restart), or_undefined(lengths), reverse};
    context->save_for_backward({a.x, a.q, a.c, a.state, a.restart, a.lengths});
    context->saved_data["reverse"] = reverse;
    context->set_materialize_grads(false);
    const auto result = ema_kernel_forward(a);
    return {result.output, result.state};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    variable_list inputs(7);
    if (!gradients[0].defined() && !gradients[1].defined()) return inputs;
    const EmaArguments a = saved_arguments(context);
    const bool needed[] = {context->needs_input_grad(0), context->needs_input_grad(1), context->needs_input_grad(2),
                           a.state.defined() && context->needs_input_grad(3)};
    const EmaWanted wanted = {.inputs = needed[0] || needed[3], .parameters = needed[1] || needed[2]};
    const variable_list result = at::GradMode::is_enabled()
                                     ? EmaGradient::apply(a.x, a.q, a.c, maybe(a.state), maybe(gradients[0]), maybe(gradients[1]), &a, wanted)
                                     : listed(ema_kernel_backward(a, gradients[0], gradients[1], wanted));
    for (size_t i = 0; i < 4; ++i) {
      if (needed[i]) inputs[i] = result[i];
    }
    return inputs;
  }
};

}  // namespace

EmaResult ema_autograd(const EmaArguments& a) {
  const auto outputs = EmaFunction::apply(a.x, a.q, a.c, maybe(a.state), maybe(a.restart), maybe(a.lengths), a.reverse);
  return {outputs[0], outputs[1]};
}

}  // namespace everlong::ops
