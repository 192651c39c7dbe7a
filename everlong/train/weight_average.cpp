#include "everlong/train/weight_average.h"

#include <algorithm>

#include "everlong/base/error.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::train {

WeightAverage::WeightAverage(std::vector<NamedParameter> parameters, double decay) : parameters_(std::move(parameters)), decay_(decay) {
  for (const NamedParameter& parameter : parameters_) averages_.push_back(parameter.tensor.detach().clone());
}

void WeightAverage::update(int64_t step) {
  const at::NoGradGuard no_grad;
  const double t = static_cast<double>(step), decay = std::min(decay_, (1.0 + t) / (10.0 + t));
  for (size_t i = 0; i < averages_.size(); ++i) averages_[i].lerp_(parameters_[i].tensor, 1.0 - decay);
}

void WeightAverage::swap() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < averages_.size(); ++i) {
    const at::Tensor weight = parameters_[i].tensor.detach().clone();
    parameters_[i].tensor.copy_(averages_[i]);
    averages_[i].copy_(weight);
  }
}

void WeightAverage::save(checkpoint::TensorMap& into) const {
  for (size_t i = 0; i < averages_.size(); ++i) into.emplace("average." + parameters_[i].name, averages_[i]);
}

void WeightAverage::load(const checkpoint::TensorMap& from, const std::string& file_name) {
  for (size_t i = 0; i < averages_.size(); ++i) {
    const std::string name = "average." + parameters_[i].name;
    const auto found = from.find(name);
    if (found == from.end() || found->second.sizes() != averages_[i].sizes())
      throw FormatError({.file = file_name, .field = name}, shape_text(averages_[i].sizes()), found == from.end() ? "nothing" : shape_text(found->second.sizes()));
    averages_[i].copy_(found->second);
  }
}

}  // namespace everlong::train
