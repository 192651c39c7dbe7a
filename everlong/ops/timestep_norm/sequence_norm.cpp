#include <ATen/ATen.h>

#include "everlong/ops/timestep_norm/timestep_norm.h"
#include "everlong/ops/timestep_norm/timestep_norm_kernel.h"
#include "everlong/tensor/device.h"

namespace everlong::ops {

at::Tensor sequence_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t num_groups,
                         const std::optional<at::Tensor>& mask, double eps) {
  check_norm_arguments("sequence_norm", x, weight, bias, num_groups, mask, eps);
  const auto batch_size = x.size(0), seq_len = x.size(1), model_dim = x.size(2), width = model_dim / num_groups;
  const auto dtype = accumulate_dtype(x.scalar_type());
  at::Tensor rows = x.to(dtype), count = at::full({batch_size, 1, 1, 1}, seq_len * width, rows.options()), valid;
  if (mask) {
    valid = mask->view({batch_size, seq_len, 1});
    rows = at::where(valid, rows, at::zeros({}, rows.options()));
    count = (mask->sum(1) * width).clamp_min(1).to(dtype).view({batch_size, 1, 1, 1});
  }
  rows = rows.reshape({batch_size, seq_len, num_groups, width});
  at::Tensor centred = rows - rows.sum(at::IntArrayRef{1, 3}, true) / count;
  if (mask) centred = at::where(valid.unsqueeze(-1), centred, at::zeros({}, rows.options()));
  const at::Tensor rstd = (centred.square().sum(at::IntArrayRef{1, 3}, true) / count + eps).rsqrt();
  at::Tensor y = (centred * rstd).reshape(x.sizes()) * (weight.to(dtype) + 1) + bias.to(dtype);
  if (mask) y = at::where(valid, y, at::zeros({}, y.options()));
  return y.to(x.scalar_type());
}

}  // namespace everlong::ops
