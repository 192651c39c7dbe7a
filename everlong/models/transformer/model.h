#pragma once

#include <memory>
#include <vector>

#include "everlong/models/model.h"
#include "everlong/models/transformer/config.h"
#include "everlong/nn/chunk_window.h"
#include "everlong/nn/linear.h"

namespace everlong::models::transformer {

/// What every layer of one call shares.
struct LayerCall {
  nn::SequencePlan plan;
  nn::ChunkWindow window;
  std::optional<at::Tensor> valid;  ///< [B, T] bool
  at::Tensor cosine, sine;          ///< [B or 1, 1, T, K / 2] of the tokens' positions
  std::optional<at::Tensor> mask;   ///< [B, 1, T, P + T] bool: true = visible; none where plain causality or everything is meant
  nn::State state;                  ///< before the call; may be empty
  const Trace* trace = nullptr;

  [[nodiscard]] at::Tensor slot(nn::Slot slot) const { return state.empty() ? at::Tensor() : state[slot]; }
};

/// One pre-norm block: grouped-query attention with rotary positions, then SwiGLU.
/// Shapes   x [B, T, D]; returns [B, T, D]
/// State    keys and values [B, tokens so far, H_kv, K], rotated
class Block : public torch::nn::Module {
 public:
  Block(const Config& config, nn::StateLayout& layout, const std::string& state_prefix);
  at::Tensor forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates);

 private:
  at::Tensor attend(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates);

  Config config_;
  at::Tensor attention_norm_, ffn_norm_;
  std::shared_ptr<nn::Linear> q_proj_, k_proj_, v_proj_, o_proj_, gate_proj_, up_proj_, down_proj_;
  nn::Slot key_slot_{}, value_slot_{};
};

/// The baseline of every table: RMSNorm, rotary positions, SwiGLU, torch's fused attention, a key/value cache that grows.
/// Source   Llama as in transformers, modeling_llama.py. Exact.
class TransformerModel final : public Model {
 public:
  explicit TransformerModel(const Config& config);

  ModelOutput forward(const ModelInput& input, nn::State state) override;
  [[nodiscard]] Capabilities capabilities() const override { return {.causal = true, .streaming = Streaming::exact, .bounded_state = false}; }
  [[nodiscard]] int64_t hidden_size() const override { return config_.hidden_size; }
  [[nodiscard]] int64_t vocab_size() const override { return config_.vocab_size; }
  [[nodiscard]] at::Tensor embedding_weight() const override { return embedding_->weight; }

 private:
  void set_positions(LayerCall& call, at::Device device) const;

  Config config_;
  std::shared_ptr<nn::Embedding> embedding_;
  std::vector<std::shared_ptr<Block>> blocks_;
  at::Tensor norm_;
  nn::Slot valid_slot_{};
};

}  // namespace everlong::models::transformer
