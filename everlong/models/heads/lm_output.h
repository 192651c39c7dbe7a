#pragma once

#include <memory>
#include <optional>

#include "everlong/models/architecture.h"
#include "everlong/models/model.h"
#include "everlong/nn/linear.h"
#include "everlong/ops/linear_cross_entropy/linear_cross_entropy.h"

namespace everlong::models {

/// From hidden states to scores of tokens: [tanh(Linear(D -> D))], then the output matrix, which may be the token embedding.
/// Shapes   hidden [B, T, D]; logits [B, T, V], or as many as LmHeadOptions::output_size says
class LmOutput : public torch::nn::Module, public nn::PacksMatrix {
 public:
  /// `model` must outlive this. Initial matrices N(0, config.initializer_std()), biases 0.
  LmOutput(const ArchitectureConfig& config, const Model& model);

  [[nodiscard]] at::Tensor logits(const at::Tensor& hidden) const;
  /// Cross-entropy of `targets` [B, T] int64 (-100 = not counted), without ever holding all logits.
  [[nodiscard]] ops::LinearCrossEntropyResult cross_entropy(const at::Tensor& hidden, const at::Tensor& targets,
                                                            const ops::LinearCrossEntropyOptions& options = {}) const;

 private:
  [[nodiscard]] at::Tensor features(const at::Tensor& hidden) const;
  [[nodiscard]] at::Tensor matrix_weight() const override { return output_weight_.defined() ? output_weight_ : model_.embedding_weight(); }

  const Model& model_;
  std::shared_ptr<nn::Linear> dense_;
  at::Tensor output_weight_, output_bias_;
};

}  // namespace everlong::models
