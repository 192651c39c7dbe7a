#include "everlong/nn/norm.h"

#include "everlong/ops/gates/gates.h"
#include "everlong/tensor/device.h"
#include "everlong/tensor/torch.h"

namespace everlong::nn {

Norm::Norm(NormType type, int64_t model_dim, bool affine, double eps) : type_(type), model_dim_(model_dim), eps_(eps) {
  const auto f32 = at::TensorOptions(at::kFloat);
  const bool shifts = type == NormType::layernorm || type == NormType::batchnorm;
  if (affine && type == NormType::scalenorm) scale_ = register_parameter("scale", at::ones({1}, f32));
  if (affine && type != NormType::scalenorm) weight_ = register_parameter("weight", at::ones({model_dim}, f32));
  if (affine && shifts) bias_ = register_parameter("bias", at::zeros({model_dim}, f32));
  if (type == NormType::batchnorm) {
    running_mean_ = register_buffer("running_mean", at::zeros({model_dim}, f32));
    running_var_ = register_buffer("running_var", at::ones({model_dim}, f32));
    num_batches_tracked_ = register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
  }
}

at::Tensor Norm::batch_norm(const at::Tensor& x) {
  const at::Tensor flat = x.reshape({-1, model_dim_}).to(accumulate_dtype(x.scalar_type()));
  if (is_training()) num_batches_tracked_ += 1;
  const at::Tensor y = at::batch_norm(flat, weight_, bias_, running_mean_, running_var_, is_training(), 0.1, eps_, false);
  return y.view(x.sizes()).to(x.scalar_type());
}

at::Tensor Norm::forward(const at::Tensor& x) {
  switch (type_) {
    case NormType::layernorm: {
      const at::Tensor wide = x.to(accumulate_dtype(x.scalar_type()));
      return at::layer_norm(wide, {model_dim_}, weight_, bias_, eps_).to(x.scalar_type());
    }
    case NormType::scalenorm: return ops::rms_norm(x, scale_, eps_);
    case NormType::rmsnorm: return ops::rms_norm(x, weight_, eps_);
    case NormType::rmsnorm_weight_only: return weight_.defined() ? (x * weight_).to(x.scalar_type()) : x;
    case NormType::batchnorm: return batch_norm(x);
  }
  return x;
}

}  // namespace everlong::nn
