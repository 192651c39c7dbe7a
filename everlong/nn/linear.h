#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "everlong/ops/linear/packed_matrix.h"

namespace everlong::nn {

/// A module that multiplies by a matrix, of which it may keep a packed form for decoding.
class PacksMatrix {
 public:
  virtual ~PacksMatrix() = default;

  /// Returns  bytes of the packed form, 0 without one
  int64_t pack() {
    packed_ = ops::PackedMatrix(matrix_weight());
    return packed_.num_bytes();
  }
  [[nodiscard]] ops::Matrix matrix() const { return {matrix_weight(), packed_}; }

 protected:
  [[nodiscard]] virtual at::Tensor matrix_weight() const = 0;

 private:
  ops::PackedMatrix packed_;
};

/// Multiplies by a learned matrix: y = x W^T + b.
/// Shapes   x [*, in]; weight [out, in]; bias [out]; returns [*, out]
/// Dtypes   parameters fp32 or fp64; computes in the dtype of x, casting the parameters
class Linear : public torch::nn::Module, public PacksMatrix {
 public:
  Linear(int64_t in_features, int64_t out_features, bool with_bias = true);
  at::Tensor forward(const at::Tensor& x) const;

  at::Tensor weight;
  at::Tensor bias;  ///< undefined without a bias

 protected:
  [[nodiscard]] at::Tensor matrix_weight() const override { return weight; }
};

/// Looks up rows of a learned table.
/// Shapes   tokens [*] int64; returns [*, D] in `compute_dtype`
/// The row `padding_index` receives no gradient from the lookup; -1 = no such row.
class Embedding : public torch::nn::Module {
 public:
  Embedding(int64_t num_rows, int64_t model_dim, int64_t padding_index = -1);

  /// Errors   InvalidArgument if a token is outside [0, num_rows)
  at::Tensor forward(const at::Tensor& tokens, at::ScalarType compute_dtype) const;

  at::Tensor weight;

 private:
  int64_t padding_index_;
};

/// Stores the matrices of all Linear and Embedding modules below `module` in `dtype`, for inference: they are cast to the dtype of their input
/// anyway, and once is enough. Values that leave are the same; training needs the fp32 parameters back.
void store_matrices_as(torch::nn::Module& module, at::ScalarType dtype);

/// Packs the bfloat16 matrices of all modules below `module` for decoding (ops::PackedMatrix): a token reads a quarter less, the matrices take three quarters
/// more memory, results are the same to the bit. A matrix that changes afterwards is read as it is.
/// Returns  bytes that the packed forms take
int64_t pack_matrices(torch::nn::Module& module);

/// Fills with N(mean, std) from the default generator, values further than `truncation` standard deviations drawn anew (0 = none are).
/// No gradient is recorded.
void init_normal_(at::Tensor& parameter, double std, double mean = 0.0, double truncation = 0.0);

}  // namespace everlong::nn
