#pragma once

#include <memory>
#include <vector>

#include "everlong/models/mega/cross_attention.h"
#include "everlong/models/mega/gated_attention.h"
#include "everlong/models/model.h"

namespace everlong::models::mega {

/// One block: gated attention, then cross-attention and the feed-forward network where the configuration has them.
class Block : public torch::nn::Module {
 public:
  Block(const Config& config, nn::StateLayout& layout, int64_t layer);
  at::Tensor forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates);

  /// The two halves of forward(), as GatedAttention's.
  [[nodiscard]] Filtered prepare(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) {
    return attention_->prepare(x, call, updates);
  }
  [[nodiscard]] at::Tensor finish(const Filtered& in, const LayerCall& call, std::vector<nn::SlotUpdate>& updates);

  [[nodiscard]] const GatedAttention& attention() const { return *attention_; }
  [[nodiscard]] const CrossAttention* cross_attention() const { return cross_attention_.get(); }

 private:
  at::Tensor after_attention(const at::Tensor& y, const LayerCall& call, std::vector<nn::SlotUpdate>& updates);

  std::shared_ptr<GatedAttention> attention_;
  std::shared_ptr<CrossAttention> cross_attention_;
  std::shared_ptr<FeedForward> ffn_;
};

/// A call and, where its layers are recomputed span by span, what each span is called with.
struct SpannedCall {
  std::shared_ptr<const LayerCall> whole;
  std::vector<TokenSpan> spans;
  std::vector<LayerCall> parts;
};

/// MEGA: token embedding and blocks, without a final norm, as in Hugging Face's MegaModel; the configuration can add one.
/// Source   MEGA, arXiv 2209.10655; specification 2.12. Exact.
class MegaModel final : public Model {
 public:
  explicit MegaModel(const Config& config);

  ModelOutput forward(const ModelInput& input, nn::State state) override;
  [[nodiscard]] Capabilities capabilities() const override;
  [[nodiscard]] int64_t hidden_size() const override { return config_.hidden_size; }
  [[nodiscard]] int64_t vocab_size() const override { return config_.vocab_size; }
  [[nodiscard]] at::Tensor embedding_weight() const override { return embedding_->weight; }
  [[nodiscard]] bool decays(std::string_view name, const at::Tensor& parameter) const override {
    const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
    return parameter.dim() >= 2 && !has(".ema.") && !has(".qk_") && !has(".relative_bias.");
  }

  /// "cache.i.self_key", ".self_value" (rows at one position), ".ema_state" = p beta h, ".cross_key" and ".cross_value", as past_key_values
  /// holds them upstream.
  [[nodiscard]] std::vector<NamedTensor> public_state(const nn::State& state) const override;

 private:
  at::Tensor embed(const ModelInput& input) const;
  at::Tensor run_block(const std::shared_ptr<Block>& block, const std::shared_ptr<const SpannedCall>& call, const at::Tensor& x,
                       std::vector<nn::SlotUpdate>& updates) const;
  void read_memory(const ModelInput& input, LayerCall& call, std::vector<nn::SlotUpdate>& updates) const;

  Config config_;
  std::shared_ptr<nn::Embedding> embedding_, token_type_embedding_;
  std::shared_ptr<nn::Norm> final_norm_;
  std::vector<std::shared_ptr<Block>> blocks_;
  nn::Slot valid_slot_{}, memory_valid_slot_{};
};

}  // namespace everlong::models::mega
