#pragma once

#include <memory>

#include "everlong/models/heads/lm_output.h"
#include "everlong/models/heads/task_head.h"

namespace everlong::models {

/// A model with a next-token head.
/// Shapes   logits [B, T, V]
class CausalLm final : public TaskHead {
 public:
  /// Builds model and head with fresh parameters. Errors  as config.validate(); Unsupported if the architecture is not causal
  explicit CausalLm(const ArchitectureConfig& config);

  struct Logits {
    at::Tensor logits;  ///< [B, T, V], or [B, 1, V] with last_only
    nn::State state;
  };
  /// Next-token scores. `last_only`: of each row's last token alone, which is what generation needs.
  Logits forward(const ModelInput& input, nn::State state = {}, bool last_only = false);

  struct Loss {
    at::Tensor mean;      ///< nats per counted token; scalar
    int64_t count = 0;    ///< targets that are not -100
    nn::State state;
  };
  /// Mean cross-entropy of `targets` [B, T] int64 (-100 = not counted): target t is what should follow token t. Never holds all logits.
  Loss loss(const ModelInput& input, const at::Tensor& targets, nn::State state = {});

  struct TokenLoss {
    at::Tensor nats;  ///< [B, T] fp32, zero where the target is -100
    nn::State state;
  };
  /// The cross-entropy of each token by itself, without gradients.
  TokenLoss token_loss(const ModelInput& input, const at::Tensor& targets, nn::State state = {});

  /// "logits" [B, T, V].
  std::vector<NamedTensor> outputs(const ModelInput& input, int64_t num_choices = 1) override;
  /// labels.values [B, T] are the tokens themselves: label t + 1 is the target of token t.
  at::Tensor task_loss(const ModelInput& input, const Labels& labels) override;

 private:
  std::shared_ptr<LmOutput> output_;
};

}  // namespace everlong::models
