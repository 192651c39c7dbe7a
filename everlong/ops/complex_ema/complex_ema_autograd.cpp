#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "everlong/base/error.h"
#include "everlong/ops/complex_ema/complex_ema_kernel.h"
#include "everlong/ops/ema/ema_tensors.h"

namespace everlong::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

ComplexEmaArguments saved_arguments(AutogradContext* context) {
  const variable_list saved = context->get_saved_variables();
  return {saved[0], saved[1], saved[2], saved[3], saved[4], saved[5], saved[6], context->saved_data["reverse"].toBool()};
}

variable_list listed(const ComplexEmaGradients& gradients) { return {gradients.x, gradients.q, gradients.c, gradients.omega, gradients.state}; }

/// The first derivative as a function of its own, so that a second one is refused instead of being silently zero.
struct ComplexEmaGradient : torch::autograd::Function<ComplexEmaGradient> {
  static variable_list forward(AutogradContext* /*context*/, const at::Tensor& x, const at::Tensor& q, const at::Tensor& c, const at::Tensor& omega,
                               const MaybeTensor& state, const MaybeTensor& dy, const MaybeTensor& dstate, const ComplexEmaArguments* arguments,
                               ComplexEmaWanted wanted) {
    const ComplexEmaArguments a = {x, q, c, omega, or_undefined(state), arguments->restart, arguments->lengths, arguments->reverse};
    variable_list outputs = listed(complex_ema_kernel_backward(a, or_undefined(dy), or_undefined(dstate), wanted));
    for (auto& output : outputs) {
      if (!output.defined()) output = at::empty({0}, q.options());  // autograd takes no undefined output; nobody reads this one
    }
    return outputs;
  }

  static variable_list backward(AutogradContext* /*context*/, const variable_list& /*gradients*/) {
    throw Unsupported({.where = "complex_ema",
                       .expected = "to be differentiated once",
                       .got = "a second derivative",
                       .hint = "complex_ema_reference has all of them"});
  }
};

struct ComplexEmaFunction : torch::autograd::Function<ComplexEmaFunction> {
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& q, const at::Tensor& c, const at::Tensor& omega,
                               const MaybeTensor& state, const MaybeTensor& restart, const MaybeTensor& lengths, bool reverse) {
    const ComplexEmaArguments a = {x, q, c, omega, or_undefined(state), or_undefined(restart), or_undefined(lengths), reverse};
    context->save_for_backward({a.x, a.q, a.c, a.omega, a.state, a.restart, a.lengths});
    context->saved_data["reverse"] = reverse;
    context->set_materialize_grads(false);
    const auto result = complex_ema_kernel_forward(a);
    return {result.output, result.state};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    variable_list inputs(8);
    if (!gradients[0].defined() && !gradients[1].defined()) return inputs;
    const ComplexEmaArguments a = saved_arguments(context);
    bool needed[5];
    for (size_t i = 0; i < 4; ++i) needed[i] = context->needs_input_grad(i);
    needed[4] = a.state.defined() && context->needs_input_grad(4);
    const ComplexEmaWanted wanted = {.inputs = needed[0] || needed[4], .parameters = needed[1] || needed[2] || needed[3]};
    const variable_list result = at::GradMode::is_enabled() ? ComplexEmaGradient::apply(a.x, a.q, a.c, a.omega, maybe(a.state), maybe(gradients[0]),
                                                                                        maybe(gradients[1]), &a, wanted)
                                                            : listed(complex_ema_kernel_backward(a, gradients[0], gradients[1], wanted));
    for (size_t i = 0; i < 5; ++i) {
      if (needed[i]) inputs[i] = result[i];
    }
    return inputs;
  }
};

}  // namespace

ComplexEmaResult complex_ema_autograd(const ComplexEmaArguments& a) {
  const auto outputs = ComplexEmaFunction::apply(a.x, a.q, a.c, a.omega, maybe(a.state), maybe(a.restart), maybe(a.lengths), a.reverse);
  return {outputs[0], outputs[1]};
}

}  // namespace everlong::ops
