#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "everlong/models/bart_decoder/config.h"
#include "everlong/models/model.h"
#include "everlong/nn/chunk_window.h"
#include "everlong/nn/linear.h"

namespace everlong::models::bart_decoder {

/// What every layer of one call shares.
struct LayerCall {
  nn::SequencePlan plan;
  nn::ChunkWindow window;
  std::optional<at::Tensor> valid;  ///< [B, T] bool
  std::optional<at::Tensor> mask;   ///< [B, 1, T, P + T] bool: true = visible; none where plain causality or everything is meant
  nn::State state;                  ///< before the call; may be empty
  const Trace* trace = nullptr;

  bool attends_memory = false;                  ///< the call or the state has encoder states
  at::Tensor memory = {};                       ///< [B, S, D] encoder states to read now; undefined: those in the state
  std::optional<at::Tensor> memory_mask = {};   ///< [B, 1, 1, S] bool, with at least one true place a row; none = all are valid
  std::optional<at::Tensor> memory_empty = {};  ///< [B, 1, 1] bool: rows without a valid place, which attend to nothing

  [[nodiscard]] at::Tensor slot(nn::Slot slot) const { return state.empty() ? at::Tensor() : state[slot]; }
};

/// Multi-head attention with biases: softmax(q k / sqrt(K)) v between four projections.
/// Shapes   query [B, T, D]; keys, values [B, S, D], projected; mask broadcast to [B, H, T, S] bool; returns [B, T, D]
/// State    keys and values [B, S, D]
class Attention : public torch::nn::Module {
 public:
  [[nodiscard]] nn::Slot key_slot() const { return key_slot_; }
  [[nodiscard]] nn::Slot value_slot() const { return value_slot_; }

 protected:
  /// `slots` says what the slots of keys and values have in common: their name after that of the layer, and what they keep.
  Attention(const Config& config, nn::StateLayout& layout, int64_t layer, nn::SlotSpec slots);
  [[nodiscard]] at::Tensor attend(const at::Tensor& x, const at::Tensor& keys, const at::Tensor& values, const std::optional<at::Tensor>& mask,
                                  bool causal, const Trace* trace, const std::string& name) const;

  Config config_;
  int64_t layer_;
  std::shared_ptr<nn::Linear> q_proj_, k_proj_, v_proj_, out_proj_;
  nn::Slot key_slot_{}, value_slot_{};
};

/// Attention to the tokens so far.
/// State    keys and values [B, tokens so far, D]
class SelfAttention final : public Attention {
 public:
  SelfAttention(const Config& config, nn::StateLayout& layout, int64_t layer);
  at::Tensor forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates);
};

/// Attention to encoder states.
/// State    keys and values [B, S, D] of the encoder states, computed once; S = 0 before any were read
class CrossAttention final : public Attention {
 public:
  CrossAttention(const Config& config, nn::StateLayout& layout, int64_t layer);

  /// What the tokens take from the encoder states; undefined where there are none.
  at::Tensor forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates);
};

}  // namespace everlong::models::bart_decoder
