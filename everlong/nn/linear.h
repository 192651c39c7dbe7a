#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

namespace everlong::nn {

/// Multiplies by a learned matrix: y = x W^T + b.
/// Shapes   x [*, in]; weight [out, in]; bias [out]; returns [*, out]
/// Dtypes   parameters fp32 or fp64; computes in the dtype of x, casting the parameters
class Linear : public torch::nn::Module {
 public:
  Linear(int64_t in_features, int64_t out_features, bool with_bias = true);
  at::Tensor forward(const at::Tensor& x) const;

  at::Tensor weight;
  at::Tensor bias;  ///< undefined without a bias
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

/// Fills with N(mean, std) from the default generator, values further than `truncation` standard deviations drawn anew (0 = none are).
/// No gradient is recorded.
void init_normal_(at::Tensor& parameter, double std, double mean = 0.0, double truncation = 0.0);

}  // namespace everlong::nn
