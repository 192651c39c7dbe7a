#include "everlong/models/heads/sequence_classifier.h"

#include "everlong/base/error.h"
#include "everlong/nn/activation.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::models {
namespace {

ProblemType meant(const TaskConfig& config, const at::Tensor& labels) {
  if (config.problem_type != ProblemType::automatic) return config.problem_type;
  if (config.num_labels == 1) return ProblemType::regression;
  return at::isIntegralType(labels.scalar_type(), true) ? ProblemType::single_label_classification : ProblemType::multi_label_classification;
}

}  // namespace

SequenceClassifier::SequenceClassifier(const ArchitectureConfig& config, const TaskConfig& task_config)
    : TaskHead(config, Task::sequence_classification, task_config) {
  const int64_t D = model_->hidden_size();
  const auto head = add_head();
  dense_ = head->register_module("dense", std::make_shared<nn::Linear>(D, D));
  output_ = head->register_module("output", std::make_shared<nn::Linear>(D, task_config.num_labels));
  nn::init_normal_(dense_->weight, config.initializer_std());
  nn::init_normal_(output_->weight, config.initializer_std());
}

at::Tensor SequenceClassifier::logits(const ModelInput& input) {
  const at::Tensor first = model_->forward(input).hidden.select(1, 0);
  const at::Tensor x = at::tanh(dense_->forward(nn::dropout(first, classifier_dropout(), is_training())));
  return output_->forward(nn::dropout(x, classifier_dropout(), is_training()));
}

std::vector<NamedTensor> SequenceClassifier::outputs(const ModelInput& input, int64_t /*num_choices*/) { return {{"logits", logits(input)}}; }

at::Tensor SequenceClassifier::task_loss(const ModelInput& input, const Labels& labels) {
  const at::Tensor scores = logits(input);
  const at::Tensor x = scores.scalar_type() == at::kDouble ? scores : scores.to(at::kFloat);
  switch (meant(task_config(), labels.values)) {
    case ProblemType::regression: {
      const at::Tensor wanted = labels.values.to(x.scalar_type());
      require(wanted.numel() == x.numel(), [&] { return Complaint{.where = "loss", .expected = "values " + shape_text(x.sizes()), .got = shape_text(wanted.sizes())}; });
      return at::mse_loss(x, wanted.view(x.sizes()));
    }
    case ProblemType::multi_label_classification:
      require_shape("loss", "labels", labels.values, "[B, num_labels]", x.sizes());
      return at::binary_cross_entropy_with_logits(x, labels.values.to(x.scalar_type()));
    default:
      require_shape("loss", "labels", labels.values, "[B]", {x.size(0)});
      return at::cross_entropy_loss(x, labels.values);
  }
}

}  // namespace everlong::models
