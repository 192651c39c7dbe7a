#pragma once
// Tensors as the kernels of scans take them, and as autograd hands them on: shared by the ops whose rows are [B, T, D].

#include <cstdint>
#include <optional>

#include <ATen/core/Tensor.h>

#include "everlong/kernels/cpu/ema.h"

namespace everlong::ops {

/// The tensor with contiguous channels, copied only where it must be.
inline at::Tensor channels_last(const at::Tensor& rows) { return rows.stride(2) == 1 && rows.stride(1) >= rows.size(2) ? rows : rows.contiguous(); }

inline at::Tensor contiguous_or_undefined(const at::Tensor& tensor) { return tensor.defined() ? tensor.contiguous() : tensor; }

template <class Pointer>
kernels::Rows<Pointer> rows_of(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  return {tensor.data_ptr(), tensor.stride(0), tensor.stride(1)};
}

template <class T>
T* data_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr<T>() : nullptr;
}

inline kernels::Element element_of(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kBFloat16 ? kernels::Element::kBFloat16 : kernels::Element::kFloat;
}

/// The shape of dense arguments with x, q, restart, lengths and reverse, whose memory it points to.
template <class Arguments>
kernels::EmaShape ema_shape_of(const Arguments& arguments) {
  return {.batch_size = arguments.x.size(0),
          .seq_len = arguments.x.size(1),
          .model_dim = arguments.x.size(2),
          .ema_ndim = arguments.q.size(1),
          .element = element_of(arguments.x),
          .reverse = arguments.reverse,
          .restart = data_or_null<bool>(arguments.restart),
          .lengths = data_or_null<int64_t>(arguments.lengths)};
}

/// Autograd takes an absent tensor only as an empty optional.
using MaybeTensor = std::optional<at::Tensor>;
inline MaybeTensor maybe(const at::Tensor& tensor) { return tensor.defined() ? MaybeTensor(tensor) : std::nullopt; }
inline at::Tensor or_undefined(const MaybeTensor& tensor) { return tensor ? *tensor : at::Tensor(); }

}  // namespace everlong::ops
