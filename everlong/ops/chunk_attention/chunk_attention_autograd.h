#pragma once

#include "everlong/ops/chunk_attention/chunk_attention_tiles.h"

namespace everlong::ops::chunk_attention_tiles {

/// `forward`, recorded for torch's backward; saves q, k, v, bias and log_sum_exp.
at::Tensor forward_with_gradient(const Inputs& inputs);

}  // namespace everlong::ops::chunk_attention_tiles
