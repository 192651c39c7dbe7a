#pragma once

#include <memory>

#include "everlong/models/architecture.h"
#include "everlong/models/model.h"
#include "everlong/nn/linear.h"

namespace everlong::models {

/// A model with a next-token head.
/// Shapes   logits [B, T, V]
class CausalLm : public torch::nn::Module {
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

  [[nodiscard]] Model& model() { return *model_; }
  [[nodiscard]] const Model& model() const { return *model_; }
  [[nodiscard]] const ArchitectureConfig& config() const { return *config_; }

 private:
  [[nodiscard]] at::Tensor features(const at::Tensor& hidden) const;
  [[nodiscard]] at::Tensor output_weight() const;

  std::unique_ptr<ArchitectureConfig> config_;
  std::shared_ptr<Model> model_;
  std::shared_ptr<nn::Linear> dense_;
  at::Tensor output_weight_, output_bias_;
};

}  // namespace everlong::models
