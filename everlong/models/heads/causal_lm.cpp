#include "everlong/models/heads/causal_lm.h"

#include "everlong/base/error.h"
#include "everlong/ops/linear_cross_entropy/linear_cross_entropy.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::models {

CausalLm::CausalLm(const ArchitectureConfig& config) : config_(config.clone()) {
  model_ = register_module("model", config.build());
  if (!model_->capabilities().causal)
    throw Unsupported({.where = "causal language model",
                       .expected = "a causal architecture",
                       .got = std::string(config.model_type()) + " with attention in both directions",
                       .hint = "set is_decoder = true and bidirectional = false"});
  const LmHeadOptions options = config.lm_head();
  const int64_t D = model_->hidden_size(), V = model_->vocab_size();
  auto head = register_module("head", std::make_shared<torch::nn::Module>());
  if (options.dense) {
    dense_ = head->register_module("dense", std::make_shared<nn::Linear>(D, D));
    nn::init_normal_(dense_->weight, 0.02);
  }
  if (options.tied && !options.bias) return;
  auto output = head->register_module("output", std::make_shared<torch::nn::Module>());
  if (!options.tied) {
    output_weight_ = output->register_parameter("weight", at::empty({V, D}, at::kFloat));
    nn::init_normal_(output_weight_, 0.02);
  }
  if (options.bias) output_bias_ = output->register_parameter("bias", at::zeros({V}, at::kFloat));
}

at::Tensor CausalLm::features(const at::Tensor& hidden) const { return dense_ ? at::tanh(dense_->forward(hidden)) : hidden; }

at::Tensor CausalLm::output_weight() const { return output_weight_.defined() ? output_weight_ : model_->embedding_weight(); }

CausalLm::Logits CausalLm::forward(const ModelInput& input, nn::State state, bool last_only) {
  ModelOutput output = model_->forward(input, std::move(state));
  at::Tensor hidden = output.hidden;
  if (last_only && !input.valid) hidden = hidden.narrow(1, hidden.size(1) - 1, 1);
  if (last_only && input.valid) {
    const at::Tensor places = at::arange(1, hidden.size(1) + 1, at::TensorOptions(at::kLong).device(hidden.device()));
    const at::Tensor last = (input.valid->to(at::kLong) * places).argmax(1);
    hidden = hidden.gather(1, last.view({-1, 1, 1}).expand({-1, 1, hidden.size(2)}));
  }
  const at::Tensor x = features(hidden);
  const at::Tensor bias = output_bias_.defined() ? output_bias_.to(x.scalar_type()) : output_bias_;
  return {.logits = at::linear(x, output_weight().to(x.scalar_type()), bias), .state = std::move(output.state)};
}

CausalLm::Loss CausalLm::loss(const ModelInput& input, const at::Tensor& targets, nn::State state) {
  require_shape("loss", "targets", targets, "[B, T]", input.tokens.sizes());
  ModelOutput output = model_->forward(input, std::move(state));
  const at::Tensor x = features(output.hidden);
  auto entropy = ops::linear_cross_entropy(x, output_weight().to(x.scalar_type()), output_bias_, targets);
  at::Tensor mean = entropy.loss;
  for (const AuxiliaryLoss& auxiliary : output.auxiliary_losses) mean = mean + auxiliary.value;
  return {.mean = mean, .count = entropy.num_targets, .state = std::move(output.state)};
}

CausalLm::TokenLoss CausalLm::token_loss(const ModelInput& input, const at::Tensor& targets, nn::State state) {
  require_shape("token_loss", "targets", targets, "[B, T]", input.tokens.sizes());
  const at::NoGradGuard no_grad;
  ModelOutput output = model_->forward(input, std::move(state));
  const at::Tensor x = features(output.hidden);
  auto entropy = ops::linear_cross_entropy(x, output_weight().to(x.scalar_type()), output_bias_, targets, {.reduction = ops::LossReduction::none});
  return {.nats = entropy.loss, .state = std::move(output.state)};
}

}  // namespace everlong::models
