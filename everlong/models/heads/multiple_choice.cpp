#include "everlong/models/heads/multiple_choice.h"

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/nn/activation.h"
#include "everlong/tensor/torch.h"

namespace everlong::models {

MultipleChoice::MultipleChoice(const ArchitectureConfig& config, const TaskConfig& task_config) : TaskHead(config, Task::multiple_choice, task_config) {
  const int64_t D = model_->hidden_size();
  const auto head = add_head();
  pooler_ = head->register_module("pooler", std::make_shared<nn::Linear>(D, D));
  output_ = head->register_module("output", std::make_shared<nn::Linear>(D, 1));
  nn::init_normal_(pooler_->weight, config.initializer_std());
  nn::init_normal_(output_->weight, config.initializer_std());
}

at::Tensor MultipleChoice::logits(const ModelInput& input, int64_t num_choices) {
  const int64_t rows = input.batch_size();
  require(num_choices >= 1 && rows % num_choices == 0, [&] {
    return Complaint{.where = "multiple choice", .expected = fmt::format("rows in groups of {} choices", num_choices), .got = fmt::format("{} rows", rows)};
  });
  const at::Tensor pooled = at::tanh(pooler_->forward(model_->forward(input).hidden.select(1, 0)));
  return output_->forward(nn::dropout(pooled, config_->head_dropout(), is_training())).view({-1, num_choices});
}

std::vector<NamedTensor> MultipleChoice::outputs(const ModelInput& input, int64_t num_choices) { return {{"logits", logits(input, num_choices)}}; }

at::Tensor MultipleChoice::task_loss(const ModelInput& input, const Labels& labels) {
  require(labels.values.defined() && labels.values.dim() == 1 && labels.values.size(0) >= 1,
          [] { return Complaint{.where = "loss", .expected = "labels [questions] int64", .got = "none"}; });
  const at::Tensor scores = logits(input, input.batch_size() / labels.values.size(0));
  return at::cross_entropy_loss(scores.scalar_type() == at::kDouble ? scores : scores.to(at::kFloat), labels.values);
}

}  // namespace everlong::models
