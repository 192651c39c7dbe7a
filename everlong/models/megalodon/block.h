#pragma once

#include <memory>
#include <vector>

#include "everlong/models/megalodon/layer_call.h"

namespace everlong::models::megalodon {

/// Moving-average gated attention with normalised queries and keys, the first half of a block; includes its norm and its residual.
/// Shapes   x [B, T, D]; returns [B, T, D]
/// State    that of the norm and of the moving averages; keys [B, C, Z], rotated, and values [B, C, E] of the unfinished chunk
/// Source   Megalodon, arXiv 2404.08801, section 3.3; specification 2.3. Exact.
class GatedAttention : public torch::nn::Module {
 public:
  GatedAttention(const Config& config, nn::StateLayout& layout, int64_t layer);
  at::Tensor forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) const;

  /// "<prefix>.norm.*", ".ema.h", ".attn.k" and ".attn.v" with the last `kept` tokens.
  void name_state(const nn::State& state, const std::string& prefix, int64_t kept, std::vector<NamedTensor>& named) const;

 private:
  [[nodiscard]] std::pair<at::Tensor, at::Tensor> queries_and_keys(const at::Tensor& unit, const LayerCall& call) const;
  [[nodiscard]] at::Tensor attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const LayerCall& call,
                                  std::vector<nn::SlotUpdate>& updates) const;

  Config config_;
  int64_t layer_;
  std::shared_ptr<TimestepNorm> norm_;
  std::shared_ptr<ComplexEma> ema_;
  at::Tensor ema_norm_weight_, qk_scale_, qk_offset_;
  std::shared_ptr<nn::Linear> shared_proj_, value_proj_, gate_proj_, candidate_proj_, output_proj_;
  nn::Slot key_slot_{}, value_slot_{};
  mutable nn::Derived<at::Tensor> norm_scale_, query_key_scale_;
};

/// Normalised feed-forward network, the second half of a block; the residual is given.
/// Shapes   x, residual [B, T, D]; returns [B, T, D]
/// Source   Megalodon, arXiv 2404.08801, section 3.4; specification 2.4. Exact.
class FeedForward : public torch::nn::Module {
 public:
  FeedForward(const Config& config, int64_t layer);
  [[nodiscard]] at::Tensor forward(const at::Tensor& x, const at::Tensor& residual) const;

 private:
  Config config_;
  at::Tensor norm_weight_, norm_bias_, scale_;
  mutable nn::Derived<at::Tensor> norm_scale_;
  std::shared_ptr<nn::Linear> gate_, up_, down_;
};

/// One block with the two-hop residual: the feed-forward network reads the attention's output and adds the block's own input.
class Block : public torch::nn::Module {
 public:
  Block(const Config& config, nn::StateLayout& layout, int64_t layer);
  at::Tensor forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) const;
  [[nodiscard]] const GatedAttention& attention() const { return *attention_; }

 private:
  std::shared_ptr<GatedAttention> attention_;
  std::shared_ptr<FeedForward> ffn_;
};

}  // namespace everlong::models::megalodon
