#include "everlong/ops/linear_cross_entropy/linear_cross_entropy.h"
#include "everlong/tensor/torch.h"

namespace everlong::ops {

LinearCrossEntropyResult linear_cross_entropy_reference(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias,
                                                        const at::Tensor& targets, const LinearCrossEntropyOptions& options) {
  const auto compute = hidden.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  at::Tensor logits = at::matmul(hidden.to(compute), weight.to(compute).t());
  if (bias.defined()) logits = logits + bias.to(compute);

  const auto reduction = options.reduction == LossReduction::mean  ? at::Reduction::Mean
                         : options.reduction == LossReduction::sum ? at::Reduction::Sum
                                                                   : at::Reduction::None;
  const at::Tensor loss = at::cross_entropy_loss(logits.reshape({-1, weight.size(0)}), targets.reshape({-1}), {}, reduction, options.ignore_index);
  return {options.reduction == LossReduction::none ? loss.view(targets.sizes()) : loss, targets.ne(options.ignore_index).sum().item<int64_t>()};
}

}  // namespace everlong::ops
