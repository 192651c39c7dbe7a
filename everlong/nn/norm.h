#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

namespace everlong::nn {

enum class NormType {
  layernorm,
  scalenorm,            ///< root-mean-square norm with one learned scalar
  rmsnorm,
  rmsnorm_weight_only,  ///< multiplies by the weight and does not normalise: what Hugging Face's MEGA does under the name rmsnorm
  batchnorm,
};

/// Normalises the last axis (batchnorm: each channel over batch and time).
/// Math     layernorm (x - mean) / sqrt(var + eps) w + b;  rmsnorm x / sqrt(mean(x^2) + eps) w;  scalenorm the same with one scalar s;
///          batchnorm with batch statistics in training, running statistics (momentum 0.1) otherwise
/// Shapes   x [B, T, D]; returns [B, T, D] in the dtype of x; statistics in fp32 or better
/// Source   MEGA, arXiv 2209.10655; Hugging Face modeling_mega.py. Exact.
class Norm : public torch::nn::Module {
 public:
  Norm(NormType type, int64_t model_dim, bool affine, double eps = 1e-5);
  at::Tensor forward(const at::Tensor& x);

 private:
  at::Tensor batch_norm(const at::Tensor& x);

  NormType type_;
  int64_t model_dim_;
  double eps_;
  at::Tensor weight_, bias_, scale_;
  at::Tensor running_mean_, running_var_, num_batches_tracked_;
};

}  // namespace everlong::nn
