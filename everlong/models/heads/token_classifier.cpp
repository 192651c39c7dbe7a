#include "everlong/models/heads/token_classifier.h"

#include "everlong/nn/activation.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::models {

TokenClassifier::TokenClassifier(const ArchitectureConfig& config, const TaskConfig& task_config)
    : TaskHead(config, Task::token_classification, task_config) {
  output_ = add_head()->register_module("output", std::make_shared<nn::Linear>(model_->hidden_size(), task_config.num_labels));
  nn::init_normal_(output_->weight, config.initializer_std());
}

at::Tensor TokenClassifier::logits(const ModelInput& input) {
  return output_->forward(nn::dropout(model_->forward(input).hidden, classifier_dropout(), is_training()));
}

std::vector<NamedTensor> TokenClassifier::outputs(const ModelInput& input, int64_t /*num_choices*/) { return {{"logits", logits(input)}}; }

at::Tensor TokenClassifier::task_loss(const ModelInput& input, const Labels& labels) {
  require_shape("loss", "labels", labels.values, "[B, T]", {input.batch_size(), input.seq_len()});
  const at::Tensor scores = logits(input).flatten(0, 1);
  const at::Tensor targets = labels.values.reshape({-1});
  const at::Tensor sum = at::cross_entropy_loss(scores.scalar_type() == at::kDouble ? scores : scores.to(at::kFloat), targets, {}, at::Reduction::Sum);
  return sum / targets.ne(-100).sum().clamp_min(1);
}

}  // namespace everlong::models
