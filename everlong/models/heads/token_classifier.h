#pragma once

#include <memory>

#include "everlong/models/heads/task_head.h"
#include "everlong/nn/linear.h"

namespace everlong::models {

/// A model that classifies every token: dropout, Linear.
/// Shapes   logits [B, T, num_labels]
class TokenClassifier final : public TaskHead {
 public:
  TokenClassifier(const ArchitectureConfig& config, const TaskConfig& task_config);

  /// "logits" [B, T, num_labels].
  std::vector<NamedTensor> outputs(const ModelInput& input, int64_t num_choices = 1) override;
  /// Mean cross-entropy of labels.values [B, T] int64, -100 = not counted.
  at::Tensor task_loss(const ModelInput& input, const Labels& labels) override;

 private:
  at::Tensor logits(const ModelInput& input);

  std::shared_ptr<nn::Linear> output_;
};

}  // namespace everlong::models
