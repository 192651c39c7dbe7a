#include "everlong/ops/ema/ema.h"

#include <ATen/ATen.h>
#include <c10/util/StringUtil.h>

#include "everlong/base/error.h"
#include "everlong/ops/ema/ema_kernel.h"

namespace everlong::ops {
namespace {

std::string kind_text(const at::Tensor& tensor) { return c10::str(tensor.scalar_type(), " on ", tensor.device()); }

void check_defined(const at::Tensor& tensor, const char* name) {
  require(tensor.defined(), [&] { return Complaint{.where = "ema", .expected = name, .got = "an undefined tensor"}; });
}

struct Expected {
  const char* name;   ///< of the argument
  const char* shape;  ///< in letters
  at::SmallVector<int64_t, 3> sizes;
  at::ScalarType dtype;
  const char* hint = "";
};

void check(const at::Tensor& tensor, const Expected& expected, const at::Tensor& x) {
  check_defined(tensor, expected.name);
  require(tensor.sizes() == at::IntArrayRef(expected.sizes), [&] {
    return Complaint{.where = "ema",
                     .expected = c10::str(expected.name, " ", expected.shape, " = ", at::IntArrayRef(expected.sizes)),
                     .got = c10::str(tensor.sizes()),
                     .hint = c10::str("x [B, T, D] is ", x.sizes())};
  });
  require(tensor.scalar_type() == expected.dtype && tensor.device() == x.device(), [&] {
    return Complaint{.where = "ema",
                     .expected = c10::str(expected.name, " ", expected.dtype, " on ", x.device()),
                     .got = kind_text(tensor),
                     .hint = expected.hint};
  });
}

void check_rows(const at::Tensor& x, const at::Tensor& q) {
  check_defined(x, "x");
  check_defined(q, "q");
  require(x.dim() == 3 && x.numel() > 0,
          [&] { return Complaint{.where = "ema", .expected = "x [B, T, D] with every size at least 1", .got = c10::str(x.sizes())}; });
  require(x.scalar_type() == at::kDouble || x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16, [&] {
    return Complaint{.where = "ema",
                     .expected = "x Double, Float or BFloat16",
                     .got = c10::str(x.scalar_type()),
                     .hint = "recurrent states overflow in Half; use BFloat16"};
  });
  require(q.dim() == 2 && q.size(1) > 0, [&] {
    return Complaint{.where = "ema", .expected = c10::str("q [D, N] = [", x.size(2), ", N] with N at least 1"), .got = c10::str(q.sizes())};
  });
}

void check_lengths(const at::Tensor& lengths, int64_t seq_len) {
  if (!lengths.is_cpu()) return;  // the kernels clamp; reading the values here would wait for the device
  const auto low = lengths.min().item<int64_t>(), high = lengths.max().item<int64_t>();
  require(low >= 0 && high <= seq_len,
          [&] { return Complaint{.where = "ema", .expected = c10::str("lengths between 0 and T = ", seq_len), .got = c10::str(low, " to ", high)}; });
}

void check_arguments(const at::Tensor& x, const at::Tensor& q, const at::Tensor& c, const EmaOptions& options) {
  check_rows(x, q);
  const auto batch_size = x.size(0), seq_len = x.size(1), model_dim = x.size(2), ema_ndim = q.size(1);
  const auto dtype = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const char* hint = "parameters and states stay Float with x in BFloat16, and are Double with x in Double";
  check(q, {"q", "[D, N]", {model_dim, ema_ndim}, dtype, hint}, x);
  check(c, {"c", "[D, N]", {model_dim, ema_ndim}, dtype, hint}, x);
  if (options.state) check(*options.state, {"state", "[B, D, N]", {batch_size, model_dim, ema_ndim}, dtype, hint}, x);
  if (options.restart) check(*options.restart, {"restart", "[B, T]", {batch_size, seq_len}, at::kBool}, x);
  if (options.lengths) {
    check(*options.lengths, {"lengths", "[B]", {batch_size}, at::kLong}, x);
    check_lengths(*options.lengths, seq_len);
  }
}

}  // namespace

EmaResult ema(const at::Tensor& x, const at::Tensor& q, const at::Tensor& c, const EmaOptions& options) {
  check_arguments(x, q, c, options);
  if (!ema_has_kernel(x)) return ema_reference(x, q, c, options);
  const auto given = [](const std::optional<at::Tensor>& tensor) { return tensor ? *tensor : at::Tensor(); };
  const EmaArguments arguments = {x, q, c, given(options.state), given(options.restart), given(options.lengths), options.reverse};
  const bool differentiable = x.requires_grad() || q.requires_grad() || c.requires_grad() || (options.state && options.state->requires_grad());
  return at::GradMode::is_enabled() && differentiable ? ema_autograd(arguments) : ema_kernel_forward(arguments);
}

}  // namespace everlong::ops
