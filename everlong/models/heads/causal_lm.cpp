#include "everlong/models/heads/causal_lm.h"

#include "everlong/base/error.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::models {

CausalLm::CausalLm(const ArchitectureConfig& config) : TaskHead(config, Task::causal_lm) {
  if (!model_->capabilities().causal)
    throw Unsupported({.where = "causal language model",
                       .expected = "a causal architecture",
                       .got = std::string(config.model_type()) + " with attention in both directions",
                       .hint = "set is_decoder = true and bidirectional = false"});
  output_ = register_module("head", std::make_shared<LmOutput>(config, *model_));
}

CausalLm::Logits CausalLm::forward(const ModelInput& input, nn::State state, bool last_only) {
  ModelOutput output = model_->forward(input, std::move(state));
  const at::Tensor hidden = last_only ? last_hidden(output.hidden, input.valid) : output.hidden;
  return {.logits = output_->logits(hidden), .state = std::move(output.state)};
}

CausalLm::Loss CausalLm::loss(const ModelInput& input, const at::Tensor& targets, nn::State state) {
  require_shape("loss", "targets", targets, "[B, T]", {input.batch_size(), input.seq_len()});
  ModelOutput output = model_->forward(input, std::move(state));
  auto entropy = output_->cross_entropy(output.hidden, targets);
  at::Tensor mean = entropy.loss;
  for (const AuxiliaryLoss& auxiliary : output.auxiliary_losses) mean = mean + auxiliary.value;
  return {.mean = mean, .count = entropy.num_targets, .state = std::move(output.state)};
}

CausalLm::TokenLoss CausalLm::token_loss(const ModelInput& input, const at::Tensor& targets, nn::State state) {
  require_shape("token_loss", "targets", targets, "[B, T]", {input.batch_size(), input.seq_len()});
  const at::NoGradGuard no_grad;
  ModelOutput output = model_->forward(input, std::move(state));
  auto entropy = output_->cross_entropy(output.hidden, targets, {.reduction = ops::LossReduction::none});
  return {.nats = entropy.loss, .state = std::move(output.state)};
}

std::vector<NamedTensor> CausalLm::outputs(const ModelInput& input, int64_t /*num_choices*/) { return {{"logits", forward(input).logits}}; }

at::Tensor CausalLm::task_loss(const ModelInput& input, const Labels& labels) {
  require_shape("loss", "labels", labels.values, "[B, T]", {input.batch_size(), input.seq_len()});
  const at::Tensor none = at::full({input.batch_size(), 1}, -100, labels.values.options());
  return loss(input, at::cat({labels.values.narrow(1, 1, input.seq_len() - 1), none}, 1)).mean;
}

}  // namespace everlong::models
