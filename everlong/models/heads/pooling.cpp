#include "everlong/models/heads/pooling.h"

#include "everlong/tensor/torch.h"

namespace everlong::models {

at::Tensor mean_hidden(const at::Tensor& hidden, const std::optional<at::Tensor>& valid) {
  const at::ScalarType wide = hidden.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  if (!valid) return hidden.mean(at::IntArrayRef({1}), false, wide).to(hidden.scalar_type());
  const at::Tensor counted = valid->ne(0).unsqueeze(-1);
  const at::Tensor sum = at::where(counted, hidden, at::zeros({}, hidden.options())).sum(at::IntArrayRef({1}), false, wide);
  return (sum / counted.sum(1).clamp_min(1).to(wide)).to(hidden.scalar_type());
}

}  // namespace everlong::models
