#include "everlong/base/error.h"
#include "everlong/ops/linear_cross_entropy/linear_cross_entropy_chunks.h"
#include "everlong/tensor/torch.h"

namespace everlong::ops::linear_cross_entropy_chunks {
namespace {

class LinearCrossEntropy : public torch::autograd::Function<LinearCrossEntropy> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& hidden, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const Inputs& in) {
    const Outputs out = compute(in, {hidden.requires_grad(), weight.requires_grad(), bias && bias->requires_grad()});
    const auto as = [](const at::Tensor& grad, const at::Tensor& input) { return grad.defined() ? grad.to(input.scalar_type()) : grad; };
    context->save_for_backward({out.grad_hidden, as(out.grad_weight, weight), bias ? as(out.grad_bias, *bias) : at::Tensor()});
    return out.loss;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, const torch::autograd::variable_list& grads) {
    if (at::GradMode::is_enabled()) {
      throw Unsupported(
          {"linear_cross_entropy", "a backward without create_graph", "create_graph", "linear_cross_entropy_reference has second derivatives"});
    }
    torch::autograd::variable_list results = context->get_saved_variables();
    const double factor = grads[0].item<double>();
    if (factor != 1) {
      for (at::Tensor& grad : results) grad = grad.defined() ? grad * factor : grad;
    }
    results.emplace_back();
    return results;
  }
};

}  // namespace

at::Tensor loss_with_gradient(const Inputs& in) {
  const auto bias = in.bias.defined() ? std::optional(in.bias) : std::nullopt;
  return LinearCrossEntropy::apply(in.hidden, in.weight, bias, in);
}

}  // namespace everlong::ops::linear_cross_entropy_chunks
