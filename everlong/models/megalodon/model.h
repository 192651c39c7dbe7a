#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "everlong/models/megalodon/block.h"
#include "everlong/models/model.h"

namespace everlong::models::megalodon {

/// Megalodon: scaled token embedding, blocks, and a last timestep norm.
/// Source   Megalodon, arXiv 2404.08801; specification 2.1 and 14.4. Differs: any length, padding, packed documents, rows at positions of their own.
class MegalodonModel final : public Model {
 public:
  explicit MegalodonModel(const Config& config);

  ModelOutput forward(const ModelInput& input, nn::State state) override;
  [[nodiscard]] Capabilities capabilities() const override;
  [[nodiscard]] int64_t hidden_size() const override { return config_.model_dim; }
  [[nodiscard]] int64_t vocab_size() const override { return config_.vocab_size; }
  [[nodiscard]] at::Tensor embedding_weight() const override { return embedding_->weight; }
  /// Every parameter decays, as in the release: scales are stored as offsets from 1.
  [[nodiscard]] bool decays(std::string_view /*name*/, const at::Tensor& /*parameter*/) const override { return true; }

  /// "state.layers.i.norm.count", ".mean", ".var", ".ema.h", ".attn.k", ".attn.v" (rows at one position) and "state.final_norm.*", as the release's
  /// cache.
  [[nodiscard]] std::vector<NamedTensor> public_state(const nn::State& state) const override;

 private:
  /// One call with statistics of everything before it.
  ModelOutput read(const ModelInput& input, nn::State state);
  /// A call with tsn_policy = upstream_window: pieces that end where statistics are taken again.
  ModelOutput read_in_windows(const ModelInput& input, nn::State state);
  /// Replaces the statistics of rows that stand at the end of a window by those of their last tokens alone.
  void take_statistics_again(nn::State& state);
  [[nodiscard]] at::Tensor recent_tokens(const LayerCall& call, const at::Tensor& tokens) const;

  at::Tensor embed(const ModelInput& input) const;
  void plan_attention(LayerCall& call, at::Device device) const;
  [[nodiscard]] at::Tensor turns_of(const nn::SequencePlan& plan, at::Device device) const;

  Config config_;
  std::shared_ptr<nn::Embedding> embedding_;
  std::vector<std::shared_ptr<Block>> blocks_;
  std::shared_ptr<TimestepNorm> final_norm_;
  at::Tensor frequencies_;
  mutable nn::Derived<at::Tensor> chunk_turns_;
  nn::Slot valid_slot_{}, recent_slot_{};
};

}  // namespace everlong::models::megalodon
