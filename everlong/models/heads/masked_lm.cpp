#include "everlong/models/heads/masked_lm.h"

#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::models {

MaskedLm::MaskedLm(const ArchitectureConfig& config) : TaskHead(config, Task::masked_lm) {
  output_ = register_module("head", std::make_shared<LmOutput>(config, *model_));
}

std::vector<NamedTensor> MaskedLm::outputs(const ModelInput& input, int64_t /*num_choices*/) {
  return {{"logits", output_->logits(model_->forward(input).hidden)}};
}

at::Tensor MaskedLm::task_loss(const ModelInput& input, const Labels& labels) {
  require_shape("loss", "labels", labels.values, "[B, T]", {input.batch_size(), input.seq_len()});
  const at::Tensor hidden = model_->forward(input).hidden;
  const at::Tensor targets = labels.values.reshape({-1});
  const at::Tensor places = targets.ne(-100).nonzero().squeeze(1);
  if (places.numel() == 0) return hidden.sum() * 0.0;
  return output_->cross_entropy(hidden.flatten(0, 1).index_select(0, places), targets.index_select(0, places)).loss;
}

at::Tensor MaskedLm::logits_at(const ModelInput& input, const at::Tensor& rows, const at::Tensor& columns) {
  return output_->logits(model_->forward(input).hidden.index({rows, columns}));
}

}  // namespace everlong::models
