#include "everlong/models/heads/lm_output.h"

#include "everlong/ops/linear/linear.h"
#include "everlong/tensor/torch.h"

namespace everlong::models {

LmOutput::LmOutput(const ArchitectureConfig& config, const Model& model) : model_(model) {
  const LmHeadOptions options = config.lm_head();
  const int64_t D = model.hidden_size(), V = options.output_size > 0 ? options.output_size : model.vocab_size();
  if (options.dense) {
    dense_ = register_module("dense", std::make_shared<nn::Linear>(D, D));
    nn::init_normal_(dense_->weight, config.initializer_std());
  }
  if (options.tied && !options.bias) return;
  auto output = register_module("output", std::make_shared<torch::nn::Module>());
  if (!options.tied) {
    output_weight_ = output->register_parameter("weight", at::empty({V, D}, at::kFloat));
    nn::init_normal_(output_weight_, config.initializer_std(), 0.0, options.truncation);
  }
  if (options.bias) output_bias_ = output->register_parameter("bias", at::zeros({V}, at::kFloat));
}

at::Tensor LmOutput::features(const at::Tensor& hidden) const { return dense_ ? at::tanh(dense_->forward(hidden)) : hidden; }

at::Tensor LmOutput::logits(const at::Tensor& hidden) const { return ops::linear(features(hidden), matrix(), output_bias_); }

ops::LinearCrossEntropyResult LmOutput::cross_entropy(const at::Tensor& hidden, const at::Tensor& targets,
                                                      const ops::LinearCrossEntropyOptions& options) const {
  const at::Tensor x = features(hidden);
  return ops::linear_cross_entropy(x, matrix_weight().to(x.scalar_type()), output_bias_, targets, options);
}

}  // namespace everlong::models
