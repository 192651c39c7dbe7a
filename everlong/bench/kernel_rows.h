#pragma once
// Tensors as the kernels take them, for measurements.

#include <ATen/core/Tensor.h>

#include "everlong/kernels/cpu/ema.h"

namespace everlong::bench {

template <class Rows>
Rows rows_of(const at::Tensor& tensor) {
  return {tensor.data_ptr(), tensor.stride(0), tensor.stride(1)};
}

inline kernels::EmaShape ema_shape_of(const at::Tensor& x, int64_t ema_ndim) {
  return {.batch_size = x.size(0),
          .seq_len = x.size(1),
          .model_dim = x.size(2),
          .ema_ndim = ema_ndim,
          .element = x.scalar_type() == at::kFloat ? kernels::Element::kFloat : kernels::Element::kBFloat16};
}

inline at::Tensor leaf_of(const at::Tensor& tensor) { return tensor.detach().clone().requires_grad_(true); }

}  // namespace everlong::bench
