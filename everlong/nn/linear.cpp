#include "everlong/nn/linear.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/ops/linear/linear.h"
#include "everlong/tensor/activation_checkpointing.h"
#include "everlong/tensor/torch.h"
#include "everlong/tensor/view.h"

namespace everlong::nn {
namespace {

std::pair<int64_t, int64_t> range_of(const at::Tensor& tokens) {
  if (tokens.is_cpu() && tokens.is_contiguous()) {
    const int64_t* first = tokens.const_data_ptr<int64_t>();
    const auto [low, high] = std::minmax_element(first, first + tokens.numel());
    return {*low, *high};
  }
  const auto [low, high] = at::aminmax(tokens);
  return {low.item<int64_t>(), high.item<int64_t>()};
}

/// Whether few rows are looked up, without gradients: copying them is a fraction of an operation of libtorch.
bool copies_rows(const at::Tensor& weight, const at::Tensor& tokens) {
  constexpr int64_t kFew = 64;
  return is_inference() && tokens.numel() <= kFew && tokens.is_cpu() && tokens.is_contiguous() && weight.is_cpu() && weight.is_contiguous();
}

at::Tensor copied_rows(const at::Tensor& weight, const at::Tensor& tokens) {
  c10::DimVector sizes(tokens.sizes());
  sizes.push_back(weight.size(1));
  const at::Tensor rows = at::empty(sizes, weight.options());
  const size_t row_bytes = static_cast<size_t>(weight.size(1)) * weight.element_size();
  const auto* from = static_cast<const char*>(weight.const_data_ptr());
  auto* to = static_cast<char*>(rows.mutable_data_ptr());
  for (int64_t i = 0; i < tokens.numel(); ++i)
    std::memcpy(to + static_cast<size_t>(i) * row_bytes, from + static_cast<size_t>(tokens.const_data_ptr<int64_t>()[i]) * row_bytes, row_bytes);
  return rows;
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
  return as_dtype(copies_rows(weight, tokens) ? copied_rows(weight, tokens) : at::embedding(weight, tokens, padding_index_), compute_dtype);
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
