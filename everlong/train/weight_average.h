#pragma once

#include <vector>

#include "everlong/train/adamw.h"

namespace everlong::train {

/// A moving average of the weights. Math  a = d a + (1 - d) w with d = min(decay, (1 + t) / (10 + t)) after step t: short memory at first.
class WeightAverage {
 public:
  WeightAverage(std::vector<NamedParameter> parameters, double decay);

  void update(int64_t step);

  /// Exchanges the averages with the weights of the model; the second call puts them back.
  void swap();

  /// Averages as named tensors ("average.<parameter>"), for a checkpoint; and back. Errors  load: FormatError naming the tensor
  void save(checkpoint::TensorMap& into) const;
  void load(const checkpoint::TensorMap& from, const std::string& file_name);

 private:
  std::vector<NamedParameter> parameters_;
  std::vector<at::Tensor> averages_;
  double decay_;
};

/// Exchanges weights and averages for the life of the object; does nothing with a null average.
class UseAverage {
 public:
  explicit UseAverage(WeightAverage* average) : average_(average) {
    if (average_ != nullptr) average_->swap();
  }
  ~UseAverage() {
    if (average_ != nullptr) average_->swap();
  }
  UseAverage(const UseAverage&) = delete;
  UseAverage& operator=(const UseAverage&) = delete;

 private:
  WeightAverage* average_;
};

}  // namespace everlong::train
