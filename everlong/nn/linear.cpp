#include "everlong/nn/linear.h"

#include <utility>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/ops/linear/linear.h"
#include "everlong/tensor/torch.h"

namespace everlong::nn {
namespace {

std::pair<int64_t, int64_t> range_of(const at::Tensor& tokens) {
  if (tokens.numel() == 1) {
    const int64_t token = tokens.item<int64_t>();
    return {token, token};
  }
  const auto [low, high] = at::aminmax(tokens);
  return {low.item<int64_t>(), high.item<int64_t>()};
}

}  // namespace

Linear::Linear(int64_t in_features, int64_t out_features, bool with_bias) {
  weight = register_parameter("weight", at::empty({out_features, in_features}, at::kFloat));
  if (with_bias) bias = register_parameter("bias", at::zeros({out_features}, at::kFloat));
}

at::Tensor Linear::forward(const at::Tensor& x) const { return ops::linear(x, matrix(), bias); }

Embedding::Embedding(int64_t num_rows, int64_t model_dim, int64_t padding_index) : padding_index_(padding_index) {
  weight = register_parameter("weight", at::empty({num_rows, model_dim}, at::kFloat));
}

at::Tensor Embedding::forward(const at::Tensor& tokens, at::ScalarType compute_dtype) const {
  if (tokens.numel() > 0) {
    const auto [least, most] = range_of(tokens);
    require(least >= 0 && most < weight.size(0), [&, low = least, high = most] {
      return Complaint{.where = "embedding",
                       .expected = fmt::format("tokens in [0, {})", weight.size(0)),
                       .got = fmt::format("tokens in [{}, {}]", low, high),
                       .hint = "the tokenizer must be the one that the model was trained with"};
    });
  }
  return at::embedding(weight, tokens, padding_index_).to(compute_dtype);
}

void store_matrices_as(torch::nn::Module& module, at::ScalarType dtype) {
  const at::NoGradGuard no_grad;
  for (const auto& part : module.modules()) {
    auto parameters = part->named_parameters(/*recurse=*/false);
    at::Tensor* weight = parameters.find("weight");
    if (weight != nullptr && weight->dim() == 2) weight->set_data(weight->to(dtype));
  }
}

int64_t pack_matrices(torch::nn::Module& module) {
  int64_t bytes = 0;
  for (const auto& part : module.modules())
    if (auto* packs = dynamic_cast<PacksMatrix*>(part.get())) bytes += packs->pack();
  return bytes;
}

void init_normal_(at::Tensor& parameter, double std, double mean, double truncation) {
  const at::NoGradGuard no_grad;
  parameter.normal_(mean, std);
  if (truncation <= 0) return;
  const auto outside = [&] { return (parameter - mean).abs() > truncation * std; };
  for (at::Tensor far = outside(); far.any().item<bool>(); far = outside())
    parameter.copy_(at::where(far, at::empty_like(parameter).normal_(mean, std), parameter));
}

}  // namespace everlong::nn
