#include "everlong/nn/activation.h"

#include <limits>

#include "everlong/tensor/torch.h"

namespace everlong::nn {

at::Tensor activate(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::silu:
      return at::silu(x);
    case Activation::relu:
      return at::relu(x);
    case Activation::linear:
      return x;
    case Activation::gelu:
      return at::gelu(x);
    case Activation::gelu_accurate:
      return at::gelu(x, "tanh");
  }
  return x;
}

ops::DropoutSpec draw_dropout(double p, bool training, int64_t first_row) {
  if (!training || p <= 0) return {};
  return {
      .p = p, .seed = static_cast<uint64_t>(at::randint(std::numeric_limits<int64_t>::max(), {}, at::kLong).item<int64_t>()), .first_row = first_row};
}

at::Tensor dropout(const at::Tensor& x, double p, bool training, const at::Tensor& residual, int64_t first_row) {
  return ops::dropout(x, draw_dropout(p, training, first_row), residual);
}

at::Tensor feature_dropout(const at::Tensor& x, double p, bool training) {
  if (!training || p <= 0) return x;
  const at::Tensor kept = at::empty({x.size(0), 1, x.size(2)}, x.options()).bernoulli_(1.0 - p);
  return x * (kept / (1.0 - p));
}

}  // namespace everlong::nn
