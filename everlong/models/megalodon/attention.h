#pragma once
// The form of attention that the shared ops do not have: dropped keys in training.

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

}  // namespace everlong::models::megalodon
