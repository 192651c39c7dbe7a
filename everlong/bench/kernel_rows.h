#pragma once
// Tensors as the kernels take them, for measurements.

#include <ATen/core/Tensor.h>

#include "everlong/kernels/cpu/ema.h"
#include "everlong/ops/ema/ema_tensors.h"

namespace everlong::bench {

using ops::rows_of;

inline kernels::EmaShape ema_shape_of(const at::Tensor& x, int64_t ema_ndim) {
  return {.batch_size = x.size(0),
          .seq_len = x.size(1),
          .model_dim = x.size(2),
          .ema_ndim = ema_ndim,
          .element = ops::element_of(x)};
}

inline at::Tensor leaf_of(const at::Tensor& tensor) { return tensor.detach().clone().requires_grad_(true); }

}  // namespace everlong::bench
