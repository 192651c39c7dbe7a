#include "everlong/train/adamw.h"

#include <cmath>

#include "everlong/base/error.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::train {

AdamW::AdamW(std::vector<ParameterGroup> groups, AdamWOptions options) : groups_(std::move(groups)), options_(options) {
  for (const ParameterGroup& group : groups_) {
    auto& moments = moments_.emplace_back();
    for (const NamedParameter& parameter : group.parameters) {
      const auto step = at::zeros({}, at::TensorOptions(at::kFloat).device(parameter.tensor.device()));
      moments.push_back({at::zeros_like(parameter.tensor), at::zeros_like(parameter.tensor), step});
    }
  }
}

void AdamW::step(double lr) {
  const at::NoGradGuard no_grad;
  for (size_t g = 0; g < groups_.size(); ++g) {
    std::vector<at::Tensor> parameters, gradients, means, squares, steps;
    for (size_t i = 0; i < groups_[g].parameters.size(); ++i) {
      const at::Tensor& parameter = groups_[g].parameters[i].tensor;
      if (!parameter.grad().defined()) continue;
      Moments& moments = moments_[g][i];
      moments.step.add_(1);
      parameters.push_back(parameter);
      gradients.push_back(parameter.grad());
      means.push_back(moments.mean);
      squares.push_back(moments.square);
      steps.push_back(moments.step);
    }
    if (parameters.empty()) continue;
    for (const at::Tensor& parameter : parameters) parameter.unsafeGetTensorImpl()->bump_version();  // the fused step does not count as a write
    at::_fused_adamw_(parameters, gradients, means, squares, {}, steps, lr, options_.beta1, options_.beta2, groups_[g].weight_decay, options_.eps, false, false);
  }
}

std::vector<at::Tensor> AdamW::gradients() const {
  std::vector<at::Tensor> found;
  for (const ParameterGroup& group : groups_)
    for (const NamedParameter& parameter : group.parameters)
      if (parameter.tensor.grad().defined()) found.push_back(parameter.tensor.grad());
  return found;
}

void AdamW::zero_grad() {
  for (ParameterGroup& group : groups_)
    for (NamedParameter& parameter : group.parameters) parameter.tensor.mutable_grad().reset();
}

double AdamW::clip_gradients(double max_norm) {
  const at::NoGradGuard no_grad;
  const auto found = gradients();
  double square = 0;
  for (const at::Tensor& gradient : found) square += std::pow(gradient.norm().item<double>(), 2);
  const double norm = std::sqrt(square);
  if (max_norm > 0 && norm > max_norm)
    for (const at::Tensor& gradient : found) gradient.mul_(max_norm / norm);
  return norm;
}

void AdamW::save(checkpoint::TensorMap& into) const {
  for (size_t g = 0; g < groups_.size(); ++g)
    for (size_t i = 0; i < groups_[g].parameters.size(); ++i) {
      const std::string& name = groups_[g].parameters[i].name;
      into.emplace("optim.m." + name, moments_[g][i].mean);
      into.emplace("optim.v." + name, moments_[g][i].square);
      into.emplace("optim.t." + name, moments_[g][i].step);
    }
}

void AdamW::load(const checkpoint::TensorMap& from, const std::string& file_name) {
  const at::NoGradGuard no_grad;
  const auto fill = [&](at::Tensor& target, const std::string& name) {
    const auto found = from.find(name);
    if (found == from.end() || found->second.sizes() != target.sizes())
      throw FormatError({.file = file_name, .field = name}, shape_text(target.sizes()), found == from.end() ? "nothing" : shape_text(found->second.sizes()),
                        "the checkpoint belongs to another model");
    target.copy_(found->second);
  };
  for (size_t g = 0; g < groups_.size(); ++g)
    for (size_t i = 0; i < groups_[g].parameters.size(); ++i) {
      const std::string& name = groups_[g].parameters[i].name;
      fill(moments_[g][i].mean, "optim.m." + name);
      fill(moments_[g][i].square, "optim.v." + name);
      fill(moments_[g][i].step, "optim.t." + name);
    }
}

}  // namespace everlong::train
