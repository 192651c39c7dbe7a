#pragma once

#include <memory>

#include "everlong/models/heads/task_head.h"
#include "everlong/nn/linear.h"

namespace everlong::models {

/// A model that classifies whole sequences by their first token or the mean over all, as task_config.classifier says; by default as
/// Hugging Face's classes do. With separate pairs rows 2 i and 2 i + 1 of the input are one example.
/// Shapes   logits [B, num_labels]; [B / 2, num_labels] with separate pairs
/// Errors   InvalidArgument if a pair is incomplete, or pixels are outside 0 to 255
class SequenceClassifier final : public TaskHead {
 public:
  SequenceClassifier(const ArchitectureConfig& config, const TaskConfig& task_config);

  /// "logits" [B, num_labels].
  std::vector<NamedTensor> outputs(const ModelInput& input, int64_t num_choices = 1) override;
  /// Cross-entropy of classes [B] int64; squared error of values [B] or [B, num_labels]; binary cross-entropy of flags [B, num_labels].
  at::Tensor task_loss(const ModelInput& input, const Labels& labels) override;

 private:
  [[nodiscard]] const ClassifierConfig& shape() const { return task_config().classifier; }
  at::Tensor pooled(const ModelInput& input);
  at::Tensor logits(const ModelInput& input);

  std::shared_ptr<nn::Linear> dense_, output_;
  std::shared_ptr<nn::Linear> pixels_;  ///< from one number a place; null where tokens are tokens
};

}  // namespace everlong::models
