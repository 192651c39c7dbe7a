#pragma once
// Caches as the kernels of one more token read them.

#include <ATen/core/Tensor.h>

#include "everlong/kernels/cpu/query_attention.h"

namespace everlong::ops {

/// Whether a cache [B, A, width] is one that cached_rows() takes: rows of a batch at any distance, dense within, on the CPU and in `dtype`.
inline bool dense_rows(const at::Tensor& cache, at::ScalarType dtype) {
  return cache.is_cpu() && cache.scalar_type() == dtype && cache.dim() == 3 && cache.stride(2) == 1 && cache.stride(1) == cache.size(2);
}

template <class T>
kernels::CachedRows<T> cached_rows(const at::Tensor& cache) {
  return {static_cast<T*>(cache.data_ptr()), cache.stride(0)};
}

}  // namespace everlong::ops
