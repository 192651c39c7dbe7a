#pragma once

#include <memory>
#include <vector>

#include "everlong/models/mega/layer_call.h"
#include "everlong/models/mega/relative_bias.h"

namespace everlong::models::mega {

/// Gated attention to encoder states, between the two halves of a decoder block. No chunks: every token sees the whole memory.
/// Shapes   x [B, T, D]; memory [B, S, D]; returns [B, T, D]
/// State    keys [B, S, Z] and values [B, S, D] of the memory, computed once; a token's row of the bias is its absolute position
/// Source   specification 2.10. Differs from Hugging Face in cached calls, whose row of the bias is one too far, and in a memory that is all
///          padding, which attends to nothing instead of giving NaN.
class CrossAttention : public torch::nn::Module {
 public:
  CrossAttention(const Config& config, nn::StateLayout& layout, int64_t layer);
  at::Tensor forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates);

  [[nodiscard]] nn::Slot key_slot() const { return key_slot_; }
  [[nodiscard]] nn::Slot value_slot() const { return value_slot_; }

 private:
  at::Tensor attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const LayerCall& call) const;

  Config config_;
  int64_t layer_;
  std::shared_ptr<nn::Norm> norm_;
  std::shared_ptr<nn::Linear> key_proj_, value_proj_, mixed_proj_, output_proj_;
  std::shared_ptr<RelativeBiasModule> relative_bias_;
  nn::Slot key_slot_{}, value_slot_{};
};

/// Which queries of a call see the memory, each from its absolute position. Fills call.memory_pieces and call.memory_span.
void plan_memory(LayerCall& call, int64_t memory_len);

}  // namespace everlong::models::mega
