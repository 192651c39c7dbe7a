#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "everlong/checkpoint/tensor_file.h"

namespace everlong::train {

struct NamedParameter {
  std::string name;
  at::Tensor tensor;
};

/// Parameters that share a weight decay.
struct ParameterGroup {
  std::vector<NamedParameter> parameters;
  double weight_decay = 0;
};

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
};

/// Adam with decoupled weight decay.
/// Math     w -= lr wd w;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w -= lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
/// Dtypes   moments in the dtype of the parameter
/// Source   Loshchilov and Hutter, arXiv 1711.05101; torch.optim.AdamW. Exact (torch's own fused step).
class AdamW {
 public:
  AdamW(std::vector<ParameterGroup> groups, AdamWOptions options);

  /// Updates every parameter that has a gradient. Units  lr >= 0
  void step(double lr);
  void zero_grad();

  /// Scales all gradients so that their common norm is at most `max_norm` (0 = no limit). Returns the norm before.
  double clip_gradients(double max_norm);

  /// Moments and step count as named tensors ("optim.m.<parameter>"), for a checkpoint; and back.
  /// Errors   load: FormatError naming the tensor that is missing or has another shape
  void save(checkpoint::TensorMap& into) const;
  void load(const checkpoint::TensorMap& from, const std::string& file_name);

 private:
  struct Moments {
    at::Tensor mean, square, step;
  };
  [[nodiscard]] std::vector<at::Tensor> gradients() const;

  std::vector<ParameterGroup> groups_;
  std::vector<std::vector<Moments>> moments_;
  AdamWOptions options_;
};

}  // namespace everlong::train
