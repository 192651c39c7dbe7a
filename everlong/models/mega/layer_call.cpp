#include "everlong/models/mega/layer_call.h"

#include "everlong/nn/activation.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::mega {

nn::NormType norm_type(const Config& config) {
  switch (config.normalization_type) {
    case Normalization::layernorm:
      return nn::NormType::layernorm;
    case Normalization::scalenorm:
      return nn::NormType::scalenorm;
    case Normalization::rmsnorm:
      return config.rmsnorm_weight_only ? nn::NormType::rmsnorm_weight_only : nn::NormType::rmsnorm;
    case Normalization::batchnorm:
    case Normalization::syncbatchnorm:
      return nn::NormType::batchnorm;
  }
  return nn::NormType::scalenorm;
}

std::shared_ptr<nn::Linear> make_linear(int64_t in, int64_t out, double std) {
  auto linear = std::make_shared<nn::Linear>(in, out);
  nn::init_normal_(linear->weight, std);
  return linear;
}

at::Tensor drop(const Config& config, const LayerCall& call, const at::Tensor& x, double p, bool training, const at::Tensor& residual) {
  if (!config.use_feature_dropout) return nn::dropout(x, p, training, residual, call.first_row);
  const at::Tensor y = nn::feature_dropout(x, p, training);
  return residual.defined() ? residual + y : y;
}

}  // namespace everlong::models::mega
