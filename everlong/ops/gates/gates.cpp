#include "everlong/ops/gates/gates.h"

#include "everlong/base/error.h"
#include "everlong/ops/gates/gates_autograd.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::ops {
namespace {

void check_same(std::string_view op, const at::Tensor& first, const at::Tensor& other) {
  require(first.sizes() == other.sizes() && first.scalar_type() == other.scalar_type() && first.device() == other.device(),
          [&] { return Complaint{.where = op, .expected = describe(first), .got = describe(other)}; });
}

void check_weight(std::string_view op, const at::Tensor& x, const at::Tensor& w, bool scalar_allowed) {
  const bool fits =
      w.dim() == 1 && (w.size(0) == x.size(-1) || (scalar_allowed && w.size(0) == 1)) && w.is_floating_point() && w.device() == x.device();
  require(fits, [&] { return Complaint{.where = op, .expected = "w [" + std::to_string(x.size(-1)) + "] floating", .got = describe(w)}; });
}

void check_dropout(std::string_view op, const DropoutSpec& spec) {
  require(spec.p >= 0 && spec.p < 1,
          [&] { return Complaint{.where = op, .expected = "a dropout probability in [0, 1)", .got = std::to_string(spec.p)}; });
}

/// The kernels take fp32 and bf16 on the CPU whose last axis is dense and whose other axes fold to rows of one stride.
bool kernel_takes(const at::Tensor& x) {
  const bool dtype = x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
  if (!x.is_cpu() || !dtype || x.dim() < 1 || x.numel() == 0 || x.stride(-1) != 1) return false;
  for (int64_t axis = 0; axis + 2 < x.dim(); ++axis)
    if (x.size(axis) > 1 && x.stride(axis) != x.stride(axis + 1) * x.size(axis + 1)) return false;
  return true;
}

template <class... Tensors>
bool kernel_takes_all(const Tensors&... tensors) {
  return (kernel_takes(tensors) && ...);
}

}  // namespace

at::Tensor silu_mul(const at::Tensor& a, const at::Tensor& b) {
  check_same("silu_mul", a, b);
  return kernel_takes_all(a, b) ? gates::silu_mul_kernel(a, b) : silu_mul_reference(a, b);
}

at::Tensor dropout(const at::Tensor& x, const DropoutSpec& spec, const at::Tensor& residual) {
  check_dropout("dropout", spec);
  if (residual.defined()) check_same("dropout", x, residual);
  if (spec.p == 0) return residual.defined() ? x + residual : x;
  const bool fits = kernel_takes(x) && (!residual.defined() || kernel_takes(residual));
  return fits ? gates::dropout_kernel(x, spec, residual) : dropout_reference(x, spec, residual);
}

at::Tensor silu_residual(const at::Tensor& a, const at::Tensor& x, const at::Tensor& w, const DropoutSpec& spec) {
  check_dropout("silu_residual", spec);
  check_same("silu_residual", a, x);
  check_weight("silu_residual", a, w, false);
  return kernel_takes_all(a, x) && w.scalar_type() == at::kFloat ? gates::silu_residual_kernel(a, x, w, spec)
                                                                 : silu_residual_reference(a, x, w, spec);
}

at::Tensor gated_update(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& a, const at::Tensor& b, const DropoutSpec& spec) {
  check_dropout("gated_update", spec);
  for (const at::Tensor& other : {gate, a, b}) check_same("gated_update", x, other);
  return kernel_takes_all(x, gate, a, b) ? gates::gated_update_kernel(x, gate, a, b, spec) : gated_update_reference(x, gate, a, b, spec);
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& w, double eps) {
  if (w.defined()) check_weight("rms_norm", x, w, true);
  const bool weight_fits = !w.defined() || w.scalar_type() == at::kFloat;
  return kernel_takes(x) && weight_fits ? gates::rms_norm_kernel(x, w, eps) : rms_norm_reference(x, w, eps);
}

}  // namespace everlong::ops
