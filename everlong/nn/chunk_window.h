#pragma once
// Keys and values carried from call to call for attention in chunks: what of the past is still visible, and what to keep.
//
// A row keeps the keys of its unfinished chunk. In one call they stand to the left of the new ones, right-aligned, so that rows at
// different positions share one tensor: row b sees its past at [past - row_past[b], past) and its new tokens from `past` on.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "everlong/nn/sequence_plan.h"
#include "everlong/nn/state.h"
#include "everlong/ops/chunk_attention/chunk_attention.h"

namespace everlong::nn {

/// What one call sees of the past, the same for all layers.
struct ChunkWindow {
  int64_t chunk_size = 0;         ///< C, or W of a sliding window: what a slot has room for; 0 = one chunk without end
  int64_t past = 0;               ///< P: columns of the past in this call
  std::vector<int64_t> row_past;  ///< [B] tokens of the unfinished chunk, <= P
  std::vector<int64_t> row_keep;  ///< [B] tokens to keep for the next call
  bool uniform = true;            ///< all rows alike: no gathering by row
  std::vector<ops::AttentionPiece> pieces;
  int64_t longest = 0;              ///< A: most keys that any token sees
  std::optional<at::Tensor> valid;  ///< [B, P + T] bool; none = no key is padding
};

/// Plans which keys each token of a call may see. Shapes  past_valid [B, >= P] bool: flags kept with the state, undefined = none kept
ChunkWindow plan_window(const SequencePlan& plan, int64_t chunk_size, const std::optional<at::Tensor>& valid, const at::Tensor& past_valid);

/// The same where every token sees the last `window_size` tokens of its document, itself among them: a row keeps that many. The pieces of the plan
/// are blocks of queries with all keys that some of them see; what each query may not see of them, up to 2 W - 1 places back, is for a bias to shut
/// out.
ChunkWindow plan_sliding_window(const SequencePlan& plan, int64_t window_size, const std::optional<at::Tensor>& valid, const at::Tensor& past_valid);

/// The kept past with room for `count` new entries behind it, for the caller to write: a view of the slot itself or, for one chunk without end that
/// has grown out of it, of a larger tensor. Undefined where there is none: with gradients, at the end of a chunk, for rows at different positions.
/// Shapes   slot [B, >= P, ...] or undefined; returns [B, P + count, ...], in `dtype` where it is a larger tensor
at::Tensor with_room(const at::Tensor& slot, int64_t count, const ChunkWindow& window, at::ScalarType dtype);

/// Puts the kept past before the new entries. Shapes  slot [B, >= P, ...] or undefined (P = 0); fresh [B, T, ...]; returns [B, P + T, ...]
/// Without gradients, and where the chunk has room, the new entries are written into `slot` itself and a view of it is returned.
at::Tensor with_past(const at::Tensor& slot, const at::Tensor& fresh, const ChunkWindow& window);

/// What the next call needs. Shapes  slot as above; all [B, P + T, ...] from with_past(); returns [B, C, ...], or [B, longest row, ...] where C = 0
at::Tensor kept(const at::Tensor& slot, const at::Tensor& all, const ChunkWindow& window, const SequencePlan& plan);

/// The flags of the keys to keep, as an update of their slot: false = padding. Shapes  slot_value, valid as above
SlotUpdate kept_flags(Slot slot, const at::Tensor& slot_value, const std::optional<at::Tensor>& valid, const ChunkWindow& window,
                      const SequencePlan& plan, at::Device device);

}  // namespace everlong::nn
