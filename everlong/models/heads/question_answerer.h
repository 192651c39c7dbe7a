#pragma once

#include <memory>

#include "everlong/models/heads/task_head.h"
#include "everlong/nn/linear.h"

namespace everlong::models {

/// A model that marks the first and the last token of an answer: Linear to two scores a token.
/// Shapes   start_logits, end_logits [B, T]
class QuestionAnswerer final : public TaskHead {
 public:
  QuestionAnswerer(const ArchitectureConfig& config, const TaskConfig& task_config);

  /// "start_logits" and "end_logits" [B, T].
  std::vector<NamedTensor> outputs(const ModelInput& input, int64_t num_choices = 1) override;
  /// Mean of both cross-entropies over positions; an answer at or beyond T is not counted.
  at::Tensor task_loss(const ModelInput& input, const Labels& labels) override;

 private:
  at::Tensor scores(const ModelInput& input);

  std::shared_ptr<nn::Linear> output_;
};

}  // namespace everlong::models
