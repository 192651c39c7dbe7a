#include "everlong/models/heads/question_answerer.h"

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::models {

QuestionAnswerer::QuestionAnswerer(const ArchitectureConfig& config, const TaskConfig& task_config)
    : TaskHead(config, Task::question_answering, task_config) {
  require(task_config.num_labels == 2,
          [&] { return Complaint{.where = "question answering", .expected = "num_labels = 2: start and end", .got = fmt::format("{}", task_config.num_labels)}; });
  output_ = add_head()->register_module("output", std::make_shared<nn::Linear>(model_->hidden_size(), 2));
  nn::init_normal_(output_->weight, config.initializer_std());
}

at::Tensor QuestionAnswerer::scores(const ModelInput& input) {
  const at::Tensor both = output_->forward(model_->forward(input).hidden);
  return both.scalar_type() == at::kDouble ? both : both.to(at::kFloat);
}

std::vector<NamedTensor> QuestionAnswerer::outputs(const ModelInput& input, int64_t /*num_choices*/) {
  const at::Tensor both = scores(input);
  return {{"start_logits", both.select(2, 0)}, {"end_logits", both.select(2, 1)}};
}

at::Tensor QuestionAnswerer::task_loss(const ModelInput& input, const Labels& labels) {
  const int64_t rows = input.batch_size(), seq_len = input.seq_len();
  const at::Tensor both = scores(input);
  at::Tensor loss = at::zeros({}, both.options());
  for (const int64_t side : {0, 1}) {
    const at::Tensor& marked = side == 0 ? labels.starts : labels.ends;
    require(marked.defined() && marked.numel() == rows, [&] { return Complaint{.where = "loss", .expected = "starts and ends [B] int64", .got = describe(marked)}; });
    const at::Tensor places = marked.reshape({rows}).clamp(0, seq_len);
    const at::Tensor sum = at::cross_entropy_loss(both.select(2, side), places, {}, at::Reduction::Sum, seq_len);
    loss = loss + sum / places.ne(seq_len).sum().clamp_min(1);
  }
  return loss / 2;
}

}  // namespace everlong::models
