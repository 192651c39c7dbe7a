#pragma once

#include <memory>

#include "everlong/models/heads/lm_output.h"
#include "everlong/models/heads/task_head.h"

namespace everlong::models {

/// A model that says which token stood in each place.
/// Shapes   logits [B, T, V]
class MaskedLm final : public TaskHead {
 public:
  explicit MaskedLm(const ArchitectureConfig& config);

  /// "logits" [B, T, V].
  std::vector<NamedTensor> outputs(const ModelInput& input, int64_t num_choices = 1) override;
  /// Mean cross-entropy over the places whose label is not -100; only their logits are computed.
  at::Tensor task_loss(const ModelInput& input, const Labels& labels) override;

  /// Scores of the given places alone. Shapes  rows, columns [P] int64; returns [P, V]
  at::Tensor logits_at(const ModelInput& input, const at::Tensor& rows, const at::Tensor& columns);

 private:
  std::shared_ptr<LmOutput> output_;
};

}  // namespace everlong::models
