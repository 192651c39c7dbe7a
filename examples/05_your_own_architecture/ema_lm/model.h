#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "ema_lm/config.h"
#include "everlong/models/model.h"
#include "everlong/nn/linear.h"
#include "everlong/nn/sequence_plan.h"

namespace everlong::models::ema_lm {

/// What every layer of one call shares. run_layer() wants `trace` in it.
struct LayerCall {
  nn::SequencePlan plan;
  std::optional<at::Tensor> valid;  ///< [B, T] bool
  nn::State state;                  ///< before the call; may be empty
  const Trace* trace = nullptr;
};

/// A gated moving average.
/// Math     u = rmsnorm(x);  h_t = sigmoid(decay) h_{t-1} + u_t,  m_t = sum_n coefficients_n h_{t,n};  y = x + W_o (m silu(W_g u))
/// Shapes   x [B, T, D]; returns [B, T, D]
/// State    h [B, D, N] fp32
class Block : public torch::nn::Module {
 public:
  Block(const Config& config, nn::StateLayout& layout, int64_t layer);
  at::Tensor forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates);

 private:
  at::Tensor norm_, decay_, coefficients_;
  std::shared_ptr<nn::Linear> gate_, output_;
  nn::Slot slot_{};
};

class EmaModel final : public Model {
 public:
  explicit EmaModel(const Config& config);

  ModelOutput forward(const ModelInput& input, nn::State state) override;
  [[nodiscard]] Capabilities capabilities() const override { return {}; }  // causal, exact streaming, bounded state
  [[nodiscard]] int64_t hidden_size() const override { return config_.hidden_size; }
  [[nodiscard]] int64_t vocab_size() const override { return config_.vocab_size; }
  [[nodiscard]] at::Tensor embedding_weight() const override { return embedding_->weight; }

 private:
  Config config_;
  std::shared_ptr<nn::Embedding> embedding_;
  std::vector<std::shared_ptr<Block>> blocks_;
  at::Tensor norm_;
};

}  // namespace everlong::models::ema_lm
