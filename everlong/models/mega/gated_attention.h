#pragma once

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "everlong/models/mega/config.h"
#include "everlong/models/mega/ema_gate.h"
#include "everlong/models/mega/layer_call.h"
#include "everlong/models/mega/relative_bias.h"
#include "everlong/nn/linear.h"
#include "everlong/nn/norm.h"

namespace everlong::models::mega {

/// What a block computes where a token still sees all others: everything after it looks no further than a chunk.
/// Shapes   [B, T, D] each
struct Filtered {
  at::Tensor x;         ///< the block's input
  at::Tensor normed;    ///< its norm, or x without one
  at::Tensor smoothed;  ///< drop(silu(EMA(normed) + omega normed))
};

/// Moving-average gated attention, the first half of a MEGA block.
/// Shapes   x [B, T, D]; returns [B, T, D]
/// State    EMA [B, D, N] fp32; keys [B, C, Z] and values [B, C, U] of the unfinished chunk (all of them without chunking)
/// Source   MEGA, arXiv 2209.10655, section 3; specification 2.8. Exact.
class GatedAttention : public torch::nn::Module {
 public:
  GatedAttention(const Config& config, nn::StateLayout& layout, int64_t layer);
  at::Tensor forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates);

  /// The two halves of forward(): finish() may be given the tokens of a span with the call that belongs to it.
  [[nodiscard]] Filtered prepare(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates);
  [[nodiscard]] at::Tensor finish(const Filtered& in, const LayerCall& call, std::vector<nn::SlotUpdate>& updates);

  [[nodiscard]] const EmaGate& ema() const { return *ema_; }
  [[nodiscard]] nn::Slot ema_slot() const { return ema_slot_; }
  [[nodiscard]] nn::Slot key_slot() const { return key_slot_; }
  [[nodiscard]] nn::Slot value_slot() const { return value_slot_; }

 private:
  [[nodiscard]] at::Tensor step(const at::Tensor& x, const at::Tensor& normed, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) const;
  [[nodiscard]] Filtered filter(const at::Tensor& x, const at::Tensor& normed, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) const;
  [[nodiscard]] at::Tensor update(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& a, const at::Tensor& b, const LayerCall& call) const;
  at::Tensor attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const LayerCall& call,
                    std::vector<nn::SlotUpdate>& updates);
  void trace_weights(const at::Tensor& query, const at::Tensor& key, const at::Tensor& bias, const LayerCall& call) const;
  [[nodiscard]] ops::ChunkAttentionOptions attention_options(const LayerCall& call, const ops::DropoutSpec& dropout) const;

  Config config_;
  int64_t layer_;
  std::shared_ptr<nn::Norm> norm_;
  std::shared_ptr<EmaGate> ema_;
  std::shared_ptr<nn::Linear> value_proj_, mixed_proj_, output_proj_;
  std::shared_ptr<RelativeBiasModule> relative_bias_;
  at::Tensor qk_scale_, qk_offset_;
  nn::Slot ema_slot_{}, key_slot_{}, value_slot_{};
  bool streams_ = false;
};

/// Normalised feed-forward network, the second half of a MEGA block. Shapes  x [B, T, D]; returns [B, T, D]. Source  specification 2.9. Exact.
class FeedForward : public torch::nn::Module {
 public:
  explicit FeedForward(const Config& config);
  at::Tensor forward(const at::Tensor& x, const LayerCall& call);

 private:
  Config config_;
  std::shared_ptr<nn::Norm> norm_;
  std::shared_ptr<nn::Linear> up_, down_;
};

}  // namespace everlong::models::mega
