#pragma once

#include <optional>

#include <ATen/core/Tensor.h>
#include <c10/util/intrusive_ptr.h>

#include "everlong/kernels/cpu/packed_matrix.h"

namespace everlong::ops {

/// A bfloat16 matrix as decoding reads it: three quarters of the bytes beside the matrix itself, the same products to the bit.
/// It knows the tensor that it was made of: once that has other values, it is not used any more.
class PackedMatrix {
 public:
  PackedMatrix() = default;
  /// Shapes  weight [out, in]. Empty where there is no packed form: another dtype or device, `in` no multiple of what the processor unpacks at once,
  /// or most blocks with more exponents than a packed row holds.
  explicit PackedMatrix(const at::Tensor& weight);

  /// What the kernel reads in place of `weight`; nothing if it is not the tensor this was made of, or has changed since.
  [[nodiscard]] kernels::PackedMatrix view(const at::Tensor& weight) const;
  [[nodiscard]] int64_t num_bytes() const;

 private:
  at::Tensor tables_, rows_, left_out_;
  std::optional<c10::weak_intrusive_ptr<c10::StorageImpl>> source_;  ///< kept from being another tensor's, not kept in memory
  int64_t version_ = 0;
};

/// A learned matrix, and what decoding reads in its place.
struct Matrix {
  Matrix(const at::Tensor& plain) : weight(plain) {}  // NOLINT(google-explicit-constructor): a matrix is a tensor first
  Matrix(const at::Tensor& plain, const PackedMatrix& form) : weight(plain), packed(form.view(plain)) {}

  at::Tensor weight;  ///< [out, in]
  kernels::PackedMatrix packed = {};
};

}  // namespace everlong::ops
