#include "everlong/ops/complex_ema/complex_ema.h"

#include <ATen/ATen.h>
#include <c10/util/StringUtil.h>

#include "everlong/base/error.h"
#include "everlong/ops/complex_ema/complex_ema_kernel.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::ops {
namespace {

constexpr const char* kWhere = "complex_ema";

struct Expected {
  const char* name;  ///< of the argument
  const char* axes;
  at::SmallVector<int64_t, 4> sizes;
  at::ScalarType dtype;
  const char* hint = "";
};

void check(const at::Tensor& tensor, const Expected& expected, const at::Tensor& x) {
  require_shape(kWhere, expected.name, tensor, expected.axes, expected.sizes);
  require(tensor.scalar_type() == expected.dtype && tensor.device() == x.device(), [&] {
    return Complaint{.where = kWhere,
                     .expected = c10::str(expected.name, " ", expected.dtype, " on ", x.device()),
                     .got = c10::str(tensor.scalar_type(), " on ", tensor.device()),
                     .hint = expected.hint};
  });
}

void check_rows(const at::Tensor& x, const at::Tensor& q) {
  require(x.defined() && x.dim() == 3 && x.numel() > 0,
          [&] { return Complaint{.where = kWhere, .expected = "x [B, T, D] with every size at least 1", .got = describe(x)}; });
  require(x.scalar_type() == at::kDouble || x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16, [&] {
    return Complaint{.where = kWhere,
                     .expected = "x Double, Float or BFloat16",
                     .got = c10::str(x.scalar_type()),
                     .hint = "recurrent states overflow in Half; use BFloat16"};
  });
  require(q.defined() && q.dim() == 3 && q.size(1) > 0, [&] {
    return Complaint{.where = kWhere, .expected = c10::str("q [D, N, 2] = [", x.size(2), ", N, 2] with N at least 1"), .got = describe(q)};
  });
}

void check_lengths(const at::Tensor& lengths, int64_t seq_len) {
  if (!lengths.is_cpu()) return;  // reading the values here would wait for the device; a length beyond T counts as T
  const auto low = lengths.min().item<int64_t>(), high = lengths.max().item<int64_t>();
  require(low >= 0 && high <= seq_len, [&] {
    return Complaint{.where = kWhere, .expected = c10::str("lengths between 0 and T = ", seq_len), .got = c10::str(low, " to ", high)};
  });
}

void check_arguments(const at::Tensor& x, const at::Tensor& q, const at::Tensor& c, const at::Tensor& omega, const ComplexEmaOptions& options) {
  check_rows(x, q);
  const auto batch_size = x.size(0), seq_len = x.size(1), model_dim = x.size(2), ema_ndim = q.size(1);
  const auto dtype = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const char* hint = "parameters and states stay Float with x in BFloat16, and are Double with x in Double";
  check(q, {"q", "[D, N, 2]", {model_dim, ema_ndim, 2}, dtype, hint}, x);
  check(c, {"c", "[D, N, 2]", {model_dim, ema_ndim, 2}, dtype, hint}, x);
  check(omega, {"omega", "[D]", {model_dim}, dtype, hint}, x);
  if (options.state) check(*options.state, {"state", "[B, D, N, 2]", {batch_size, model_dim, ema_ndim, 2}, dtype, hint}, x);
  if (options.restart) check(*options.restart, {"restart", "[B, T]", {batch_size, seq_len}, at::kBool}, x);
  if (options.lengths) {
    check(*options.lengths, {"lengths", "[B]", {batch_size}, at::kLong}, x);
    check_lengths(*options.lengths, seq_len);
  }
}

}  // namespace

ComplexEmaResult complex_ema(const at::Tensor& x, const at::Tensor& q, const at::Tensor& c, const at::Tensor& omega,
                             const ComplexEmaOptions& options) {
  check_arguments(x, q, c, omega, options);
  if (!complex_ema_has_kernel(x)) return complex_ema_reference(x, q, c, omega, options);
  const auto given = [](const std::optional<at::Tensor>& tensor) { return tensor ? *tensor : at::Tensor(); };
  const ComplexEmaArguments arguments = {x, q, c, omega, given(options.state), given(options.restart), given(options.lengths), options.reverse};
  const auto wants_gradient = [](const at::Tensor& tensor) { return tensor.defined() && tensor.requires_grad(); };
  const bool differentiable = wants_gradient(x) || wants_gradient(q) || wants_gradient(c) || wants_gradient(omega) || wants_gradient(arguments.state);
  return at::GradMode::is_enabled() && differentiable ? complex_ema_autograd(arguments) : complex_ema_kernel_forward(arguments);
}

}  // namespace everlong::ops
