#include "everlong/train/plan.h"

#include <algorithm>

#include "everlong/text/tokenizer.h"
#include "everlong/train/run_directory.h"
#include "everlong/train/task_objective.h"

namespace everlong::train {
namespace {

/// Parameters of the head of a language model, by closed form.
int64_t lm_head_parameters(const models::ArchitectureConfig& config, int64_t width) {
  const models::LmHeadOptions head = config.lm_head();
  const int64_t rows = head.output_size > 0 ? head.output_size : config.vocabulary();
  return (head.dense ? width * width + width : 0) + (head.tied ? 0 : rows * width) + (head.bias ? rows : 0);
}

int64_t linear(int64_t in, int64_t out, bool bias = true) { return in * out + (bias ? out : 0); }

/// Parameters above the model, by closed form.
int64_t head_parameters(const models::ArchitectureConfig& config, models::Task task, const models::TaskConfig& task_config, int64_t width) {
  const models::ClassifierConfig& shape = task_config.classifier;
  switch (task) {
    case models::Task::sequence_classification: {
      const int64_t inner = shape.hidden_size.value_or(width), read = shape.pairs == models::ClassifierPairs::separate ? 2 * width : width;
      const bool last_bias = shape.activation == models::ClassifierActivation::tanh;
      return linear(read, inner) + linear(inner, task_config.num_labels, last_bias) + (shape.reads_pixels() ? 2 * width : 0);
    }
    case models::Task::token_classification:
      return linear(width, task_config.num_labels);
    case models::Task::multiple_choice:
      return linear(width, width) + linear(width, 1);
    case models::Task::question_answering:
      return linear(width, 2);
    case models::Task::embedding:
      return linear(width, width);
    case models::Task::causal_lm:
    case models::Task::masked_lm:
      break;
  }
  return lm_head_parameters(config, width);
}

/// Gives the model the vocabulary that a run would give it.
void settle_size(TrainConfig& config) {
  const bool causal = config.train.task == models::Task::causal_lm;
  if (!causal) settle_images(config);
  if (config.train.classifier.reads_pixels() || !config.init.empty()) return;
  const std::string& name = config.data.tokenizer;
  if (name == "bpe") return config.model->set_vocabulary(config.data.vocab_size);
  if (name == "bytes") return config.model->set_vocabulary(causal ? 256 : 259);  // padding, begin and end come behind the bytes
  const auto tokenizer = text::load_tokenizer(name);
  if (causal)
    config.model->set_vocabulary(tokenizer->vocab_size());
  else
    adopt_tokenizer(*tokenizer, *config.model);
}

}  // namespace

TrainPlan plan_training(TrainConfig& config) {
  settle_size(config);
  const models::Task task = config.train.task;
  const bool causal = task == models::Task::causal_lm;
  const models::ArchitectureConfig& model = *config.model;
  const int64_t width = model.model_width(), vocabulary = model.vocabulary();
  const models::TaskConfig task_config = causal ? models::TaskConfig() : read_task_config(config);

  const int64_t element_bytes = config.train.dtype == "bf16" ? 2 : config.train.dtype == "f64" ? 8 : 4;
  const int64_t parameter_bytes = config.train.dtype == "f64" ? 8 : 4;
  const int64_t batch_tokens = config.data.batch_size * (causal ? config.data.seq_len : config.data.max_len);
  TrainPlan plan;
  plan.parameters = model.parameter_count() - lm_head_parameters(model, width) + head_parameters(model, task, task_config, width);
  plan.tokens_per_step = batch_tokens * config.train.accumulate;
  plan.parameter_bytes = plan.parameters * parameter_bytes * (config.train.average_decay > 0 ? 2 : 1);
  plan.gradient_bytes = plan.parameters * parameter_bytes;
  plan.optimizer_bytes = 2 * plan.parameters * parameter_bytes;
  if (causal && config.data.order == DataOrder::lanes)
    plan.state_bytes = 2 * config.data.batch_size * model.state_bytes_per_row(config.data.seq_len, element_bytes);
  const bool scores_tokens = causal || task == models::Task::masked_lm;
  const int64_t scores = scores_tokens ? std::min<int64_t>(batch_tokens, 512) * vocabulary * (element_bytes + 4) : 0;
  plan.activation_bytes = model.activation_bytes(batch_tokens, element_bytes, config.train.activation_checkpointing) + scores;
  return plan;
}

}  // namespace everlong::train
