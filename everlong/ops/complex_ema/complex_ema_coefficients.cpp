#include <cmath>
#include <numbers>

#include <ATen/ATen.h>

#include "everlong/base/error.h"
#include "everlong/ops/complex_ema/complex_ema.h"
#include "everlong/tensor/shape.h"

namespace everlong::ops {
namespace {

void check_parameter(const at::Tensor& parameter, const char* name, const char* axes, at::IntArrayRef sizes, const at::Tensor& alpha) {
  require_shape("complex_ema", name, parameter, axes, sizes);
  require(parameter.scalar_type() == alpha.scalar_type() && parameter.device() == alpha.device(), [&] {
    return Complaint{.where = "complex_ema", .expected = std::string(name) + " like alpha, " + describe(alpha), .got = describe(parameter)};
  });
}

}  // namespace

ComplexEmaCoefficients complex_ema_coefficients(const at::Tensor& alpha, const at::Tensor& delta, const at::Tensor& theta, const at::Tensor& gamma) {
  require(alpha.defined() && alpha.dim() == 3 && alpha.numel() > 0 && alpha.size(2) == 1 && alpha.is_floating_point(), [&] {
    return Complaint{.where = "complex_ema", .expected = "alpha [D, N, 1], floating point, every size at least 1", .got = describe(alpha)};
  });
  const int64_t model_dim = alpha.size(0), ema_ndim = alpha.size(1);
  check_parameter(delta, "delta", "[D, N, 1]", {model_dim, ema_ndim, 1}, alpha);
  check_parameter(theta, "theta", "[D, 1, 1]", {model_dim, 1, 1}, alpha);
  check_parameter(gamma, "gamma", "[D, N, 2]", {model_dim, ema_ndim, 2}, alpha);

  const auto dtype = alpha.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto orders = at::arange(1, ema_ndim + 1, alpha.options().dtype(dtype)).view({1, ema_ndim, 1});
  const at::Tensor p = at::sigmoid(alpha.to(dtype));
  const at::Tensor radius = 1 - p * at::sigmoid(delta.to(dtype));
  const at::Tensor angle = orders * (at::sigmoid(theta.to(dtype)) * (2 * std::numbers::pi / static_cast<double>(ema_ndim)));
  return {.q = radius * at::cat({at::cos(angle), at::sin(angle)}, -1),
          .c = p * gamma.to(dtype) * std::sqrt(1.0 / static_cast<double>(ema_ndim)),
          .input_weight = p.squeeze(-1)};
}

}  // namespace everlong::ops
