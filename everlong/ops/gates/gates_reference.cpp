#include "everlong/ops/gates/gates.h"

#include <algorithm>

#include "everlong/kernels/cpu/dropout_mask.h"
#include "everlong/tensor/device.h"
#include "everlong/tensor/torch.h"

namespace everlong::ops {
namespace {

at::Tensor wide(const at::Tensor& x) { return x.to(accumulate_dtype(x.scalar_type())); }

/// Zero or 1 / (1 - p) for each value.
at::Tensor kept(const at::Tensor& x, const DropoutSpec& spec) {
  const auto mask = kernels::DropoutMask::of(spec.p, spec.seed, spec.first_row);
  const int64_t width = x.size(-1), rows = x.numel() / std::max<int64_t>(1, width);
  const at::Tensor factors = at::empty({rows, width}, at::kDouble);
  double* data = factors.mutable_data_ptr<double>();
  for (int64_t r = 0; r < rows; ++r) {
    const kernels::DropoutRow key(mask, r);
    for (int64_t i = 0; i < width; ++i) data[r * width + i] = key.keep(mask, i);
  }
  return factors.view(x.sizes()).to(x.device(), accumulate_dtype(x.scalar_type()));
}

at::Tensor drop(const at::Tensor& x, const DropoutSpec& spec) { return spec.p == 0 ? x : x * kept(x, spec); }

}  // namespace

at::Tensor silu_mul_reference(const at::Tensor& a, const at::Tensor& b) { return (wide(a) * at::silu(wide(b))).to(a.scalar_type()); }

at::Tensor dropout_reference(const at::Tensor& x, const DropoutSpec& spec, const at::Tensor& residual) {
  const at::Tensor y = drop(wide(x), spec);
  return (residual.defined() ? y + wide(residual) : y).to(x.scalar_type());
}

at::Tensor silu_residual_reference(const at::Tensor& a, const at::Tensor& x, const at::Tensor& w, const DropoutSpec& spec) {
  return drop(at::silu(wide(a) + w * wide(x)), spec).to(a.scalar_type());
}

at::Tensor gated_update_reference(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& a, const at::Tensor& b, const DropoutSpec& spec) {
  const at::Tensor from = wide(x);
  return (from + at::sigmoid(wide(gate)) * (drop(at::silu(wide(a) + wide(b)), spec) - from)).to(x.scalar_type());
}

at::Tensor rms_norm_reference(const at::Tensor& x, const at::Tensor& w, double eps) {
  const at::Tensor from = wide(x);
  const at::Tensor normed = from * at::rsqrt(from.square().mean(-1, true) + eps);
  return (w.defined() ? normed * w : normed).to(x.scalar_type());
}

}  // namespace everlong::ops
