#pragma once
// The two forms of attention that the shared op does not have: dropped keys in training, and one token against a kept chunk.

#include "everlong/models/megalodon/layer_call.h"
#include "everlong/ops/gates/gates.h"

namespace everlong::models::megalodon {

/// Attends inside the pieces of a call with DropKey: each score is shut out before the softmax with probability `dropout.p`, the others are not
/// rescaled; a query whose keys are all shut out gives zero.
/// Shapes   query [B H, T, z]; key [B H, S, z]; value [B H, S, e]; returns [B H, T, e]
/// Dtypes   scores in fp32 (fp64 with query in fp64)
/// Cost     keeps the scores of all pieces for the backward pass: O(T C) memory
/// Source   specification 2.9, the release's fused kernel
at::Tensor dropkey_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const LayerCall& call, bool causal,
                             const ops::DropoutSpec& dropout);

/// Attends with one new token of every row to all keys, which are read where they are: views into the state are not copied.
/// Shapes   query [B, 1, Z]; keys [B, S, Z]; values [B, S, E]; any strides along B and S; returns [B, 1, E]
at::Tensor attend_one(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values, int64_t num_heads);

}  // namespace everlong::models::megalodon
