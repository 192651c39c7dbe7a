#include "everlong/ops/gates/gates.h"
#include "everlong/tensor/device.h"
#include "everlong/tensor/torch.h"

namespace everlong::ops {
namespace {

at::Tensor wide(const at::Tensor& x) { return x.to(accumulate_dtype(x.scalar_type())); }

}  // namespace

at::Tensor silu_mul_reference(const at::Tensor& a, const at::Tensor& b) { return (wide(a) * at::silu(wide(b))).to(a.scalar_type()); }

at::Tensor silu_residual_reference(const at::Tensor& a, const at::Tensor& x, const at::Tensor& w) {
  return at::silu(wide(a) + w * wide(x)).to(a.scalar_type());
}

at::Tensor gated_update_reference(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor from = wide(x);
  return (from + at::sigmoid(wide(gate)) * (at::silu(wide(a) + wide(b)) - from)).to(x.scalar_type());
}

at::Tensor rms_norm_reference(const at::Tensor& x, const at::Tensor& w, double eps) {
  const at::Tensor from = wide(x);
  const at::Tensor normed = from * at::rsqrt(from.square().mean(-1, true) + eps);
  return (w.defined() ? normed * w : normed).to(x.scalar_type());
}

}  // namespace everlong::ops
