#pragma once

#include <memory>

#include "everlong/models/heads/task_head.h"
#include "everlong/nn/linear.h"

namespace everlong::models {

/// A model that picks one of several continuations: pooled first token, dropout, Linear to one score.
/// Shapes   rows of the input are question 0 with choice 0, 1, ..., question 1 with choice 0, ...; logits [questions, choices]
class MultipleChoice final : public TaskHead {
 public:
  MultipleChoice(const ArchitectureConfig& config, const TaskConfig& task_config);

  /// "logits" [B / num_choices, num_choices]. Errors  InvalidArgument if the rows do not divide
  std::vector<NamedTensor> outputs(const ModelInput& input, int64_t num_choices = 1) override;
  /// Cross-entropy of the right choices, labels.values [questions] int64.
  at::Tensor task_loss(const ModelInput& input, const Labels& labels) override;

 private:
  at::Tensor logits(const ModelInput& input, int64_t num_choices);

  std::shared_ptr<nn::Linear> pooler_, output_;
};

}  // namespace everlong::models
