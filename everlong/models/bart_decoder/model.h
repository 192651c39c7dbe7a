#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "everlong/models/bart_decoder/attention.h"
#include "everlong/models/bart_decoder/config.h"
#include "everlong/models/model.h"
#include "everlong/nn/linear.h"
#include "everlong/nn/norm.h"

namespace everlong::models::bart_decoder {

/// One post-norm block: self-attention, attention to encoder states where the call has some, feed-forward network.
/// Shapes   x [B, T, D]; returns [B, T, D]
class Block : public torch::nn::Module {
 public:
  Block(const Config& config, nn::StateLayout& layout, int64_t layer);
  at::Tensor forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates);
  [[nodiscard]] const SelfAttention& self_attention() const { return *self_attention_; }
  [[nodiscard]] const CrossAttention& cross_attention() const { return *cross_attention_; }

 private:
  Config config_;
  std::shared_ptr<SelfAttention> self_attention_;
  std::shared_ptr<CrossAttention> cross_attention_;
  std::shared_ptr<nn::Norm> self_attention_norm_, cross_attention_norm_, final_norm_;
  std::shared_ptr<nn::Linear> up_, down_;
};

/// The decoder of BART: learned positions, post-norm blocks, a key/value cache that grows, attention to an encoder's states. Without encoder
/// states, in the input or in the state, blocks leave that attention out, as BartForCausalLM does.
/// Errors   forward(): Unsupported for a document longer than max_position_embeddings
/// Source   Lewis et al., arXiv 1910.13461; transformers 4.40.2, modeling_bart.py, BartDecoder. Exact; differs in an encoder mask without a valid
///          place, which attends to nothing here and to everything there.
class BartDecoderModel final : public Model {
 public:
  explicit BartDecoderModel(const Config& config);

  ModelOutput forward(const ModelInput& input, nn::State state) override;
  [[nodiscard]] Capabilities capabilities() const override {
    return {.causal = true, .streaming = Streaming::exact, .bounded_state = false, .cross_attention = true};
  }
  [[nodiscard]] int64_t hidden_size() const override { return config_.d_model; }
  [[nodiscard]] int64_t vocab_size() const override { return config_.vocab_size; }
  [[nodiscard]] at::Tensor embedding_weight() const override { return embedding_->weight; }

  /// "cache.i.self_key", ".self_value", ".cross_key", ".cross_value" [B, H, len, K], as past_key_values holds them upstream.
  [[nodiscard]] std::vector<NamedTensor> public_state(const nn::State& state) const override;

 private:
  at::Tensor embed(const ModelInput& input, const nn::SequencePlan& plan);
  void read_memory(const ModelInput& input, LayerCall& call, std::vector<nn::SlotUpdate>& updates) const;

  Config config_;
  std::shared_ptr<nn::Embedding> embedding_, positions_;
  std::shared_ptr<nn::Norm> embedding_norm_;
  std::vector<std::shared_ptr<Block>> blocks_;
  nn::Slot valid_slot_{}, memory_valid_slot_{};
};

}  // namespace everlong::models::bart_decoder
