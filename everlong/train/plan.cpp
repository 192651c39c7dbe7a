#include "everlong/train/plan.h"

#include <algorithm>

#include "everlong/text/tokenizer.h"

namespace everlong::train {

TrainPlan plan_training(const TrainConfig& config) {
  const auto model = config.model->clone();
  const bool learned = config.data.tokenizer == "bpe";
  model->set_vocabulary(learned ? config.data.vocab_size : config.data.tokenizer == "bytes" ? 256 : text::load_tokenizer(config.data.tokenizer)->vocab_size());

  const int64_t element_bytes = config.train.dtype == "bf16" ? 2 : config.train.dtype == "f64" ? 8 : 4;
  const int64_t parameter_bytes = config.train.dtype == "f64" ? 8 : 4;
  const int64_t batch_tokens = config.data.batch_size * config.data.seq_len;
  TrainPlan plan;
  plan.parameters = model->parameter_count();
  plan.tokens_per_step = batch_tokens * config.train.accumulate;
  plan.parameter_bytes = plan.parameters * parameter_bytes * (config.train.average_decay > 0 ? 2 : 1);
  plan.gradient_bytes = plan.parameters * parameter_bytes;
  plan.optimizer_bytes = 2 * plan.parameters * parameter_bytes;
  if (config.data.order == DataOrder::lanes) plan.state_bytes = 2 * config.data.batch_size * model->state_bytes_per_row(config.data.seq_len, element_bytes);
  const int64_t logits = std::min<int64_t>(batch_tokens, 512) * model->vocabulary() * (element_bytes + 4);
  plan.activation_bytes = batch_tokens * model->activation_bytes_per_token(element_bytes, config.train.activation_checkpointing) + logits;
  return plan;
}

}  // namespace everlong::train
