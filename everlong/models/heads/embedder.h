#pragma once

#include <memory>

#include "everlong/models/heads/task_head.h"
#include "everlong/nn/linear.h"

namespace everlong::models {

enum class Pooling {
  pooler,  ///< tanh(Linear(first token)), as the base model's own pooler
  first,   ///< the first token
  mean,    ///< mean over the tokens that are not padding
  last,    ///< the last token that is not padding
};

/// A model that turns a sequence into one vector, with the base model's pooler.
class Embedder final : public TaskHead {
 public:
  explicit Embedder(const ArchitectureConfig& config);

  /// One vector a row. Shapes  returns [B, D]
  at::Tensor embed(const ModelInput& input, Pooling pooling = Pooling::mean);

  /// "last_hidden_state" [B, T, D] and "pooler_output" [B, D].
  std::vector<NamedTensor> outputs(const ModelInput& input, int64_t num_choices = 1) override;
  /// Errors   Unsupported: an embedding has no loss of its own
  at::Tensor task_loss(const ModelInput& input, const Labels& labels) override;

 private:
  std::shared_ptr<nn::Linear> pooler_;
};

}  // namespace everlong::models
