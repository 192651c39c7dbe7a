#pragma once

#include <memory>

#include "everlong/models/heads/task_head.h"
#include "everlong/nn/linear.h"

namespace everlong::models {

/// A model that classifies whole sequences by their first token: dropout, tanh(Linear), dropout, Linear.
/// Shapes   logits [B, num_labels]
class SequenceClassifier final : public TaskHead {
 public:
  SequenceClassifier(const ArchitectureConfig& config, const TaskConfig& task_config);

  /// "logits" [B, num_labels].
  std::vector<NamedTensor> outputs(const ModelInput& input, int64_t num_choices = 1) override;
  /// Cross-entropy of classes [B] int64; squared error of values [B] or [B, num_labels]; binary cross-entropy of flags [B, num_labels].
  at::Tensor task_loss(const ModelInput& input, const Labels& labels) override;

 private:
  at::Tensor logits(const ModelInput& input);

  std::shared_ptr<nn::Linear> dense_, output_;
};

}  // namespace everlong::models
