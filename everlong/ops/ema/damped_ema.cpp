#include "everlong/ops/ema/damped_ema.h"

#include <cmath>

#include <ATen/ATen.h>
#include <c10/util/StringUtil.h>

#include "everlong/base/error.h"

namespace everlong::ops {
namespace {

std::string describe(const at::Tensor& tensor) {
  if (!tensor.defined()) return "an undefined tensor";
  return c10::str(tensor.sizes(), " ", tensor.scalar_type());
}

void check_like(const at::Tensor& tensor, const char* name, const at::Tensor& damping) {
  require(tensor.defined() && tensor.sizes() == damping.sizes() && tensor.scalar_type() == damping.scalar_type(), [&] {
    return Complaint{.where = "damped_ema", .expected = c10::str(name, " like damping, ", describe(damping)), .got = describe(tensor)};
  });
}

}  // namespace

EmaCoefficients damped_ema_coefficients(const DampedEmaParameters& parameters) {
  const auto& damping = parameters.damping;
  require(damping.defined() && damping.dim() == 2 && damping.numel() > 0 && damping.is_floating_point(), [&] {
    return Complaint{.where = "damped_ema", .expected = "damping [D, N], floating point, every size at least 1", .got = describe(damping)};
  });
  check_like(parameters.decay, "decay", damping);
  check_like(parameters.expansion, "expansion", damping);
  check_like(parameters.projection, "projection", damping);

  const auto dtype = damping.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor p = at::sigmoid(damping.to(dtype));
  const at::Tensor product = p * at::sigmoid(parameters.decay.to(dtype));
  const double scale = std::sqrt(1.0 / static_cast<double>(damping.size(1)));
  const at::Tensor input_weight = p * parameters.expansion.to(dtype);
  return {.q = 1 - product.clamp_max(1 - std::ldexp(1.0, -24)),
          .c = input_weight * parameters.projection.to(dtype) * scale,
          .input_weight = input_weight};
}

}  // namespace everlong::ops
