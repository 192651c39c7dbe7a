#include "everlong/models/heads/embedder.h"

#include "everlong/base/error.h"
#include "everlong/models/heads/pooling.h"
#include "everlong/tensor/torch.h"

namespace everlong::models {

Embedder::Embedder(const ArchitectureConfig& config) : TaskHead(config, Task::embedding) {
  const int64_t D = model_->hidden_size();
  pooler_ = add_head()->register_module("pooler", std::make_shared<nn::Linear>(D, D));
  nn::init_normal_(pooler_->weight, config.initializer_std());
}

at::Tensor Embedder::embed(const ModelInput& input, Pooling pooling) {
  const at::Tensor hidden = model_->forward(input).hidden;
  if (pooling == Pooling::pooler) return at::tanh(pooler_->forward(hidden.select(1, 0)));
  if (pooling == Pooling::first) return hidden.select(1, 0);
  if (pooling == Pooling::last) return last_hidden(hidden, input.valid).squeeze(1);
  return mean_hidden(hidden, input.valid);
}

std::vector<NamedTensor> Embedder::outputs(const ModelInput& input, int64_t /*num_choices*/) {
  const at::Tensor hidden = model_->forward(input).hidden;
  return {{"last_hidden_state", hidden}, {"pooler_output", at::tanh(pooler_->forward(hidden.select(1, 0)))}};
}

at::Tensor Embedder::task_loss(const ModelInput& /*input*/, const Labels& /*labels*/) {
  throw Unsupported({.where = "embedding", .expected = "a task with a loss", .got = "embedding", .hint = "fine-tune as sequence-classification"});
}

}  // namespace everlong::models
