#include "everlong/ops/timestep_norm/timestep_norm.h"

#include <cmath>

#include <ATen/ATen.h>
#include <c10/util/StringUtil.h>

#include "everlong/base/error.h"
#include "everlong/ops/timestep_norm/timestep_norm_kernel.h"
#include "everlong/tensor/torch.h"

namespace everlong::ops {
namespace {

constexpr const char* kWhere = "timestep_norm";
constexpr int64_t kLargestCount = int64_t{1} << 53;  // counts are exact in fp64, and a call cannot overflow them

std::string kind_text(const at::Tensor& tensor) { return c10::str(tensor.scalar_type(), " on ", tensor.device()); }

struct Expected {
  const char* name;   ///< of the argument
  const char* shape;  ///< in letters
  at::SmallVector<int64_t, 2> sizes;
  std::optional<at::ScalarType> dtype;  ///< none = any floating point
};

void check(const char* where, const at::Tensor& tensor, const Expected& expected, const at::Tensor& x) {
  require(tensor.defined(), [&] { return Complaint{.where = where, .expected = expected.name, .got = "an undefined tensor"}; });
  require(tensor.sizes() == at::IntArrayRef(expected.sizes), [&] {
    return Complaint{.where = where,
                     .expected = c10::str(expected.name, " ", expected.shape, " = ", at::IntArrayRef(expected.sizes)),
                     .got = c10::str(tensor.sizes()),
                     .hint = c10::str("x [B, T, D] is ", x.sizes())};
  });
  const bool right_dtype = expected.dtype ? tensor.scalar_type() == *expected.dtype : tensor.is_floating_point();
  require(right_dtype && tensor.device() == x.device(), [&] {
    const std::string kind = expected.dtype ? c10::str(*expected.dtype) : "floating point";
    return Complaint{.where = where, .expected = c10::str(expected.name, " ", kind, " on ", x.device()), .got = kind_text(tensor)};
  });
}

/// Values are looked at where that costs no wait for a device.
void check_range(const at::Tensor& values, const char* name, int64_t largest, const char* largest_text) {
  if (!values.is_cpu()) return;
  const auto low = values.min().item<int64_t>(), high = values.max().item<int64_t>();
  require(low >= 0 && high <= largest, [&] {
    return Complaint{.where = kWhere, .expected = c10::str(name, " between 0 and ", largest_text), .got = c10::str(low, " to ", high)};
  });
}

void check_state(const TimestepNormState& state, const at::Tensor& x, int64_t num_groups) {
  const auto batch_size = x.size(0);
  check(kWhere, state.count, {"state.count", "[B]", {batch_size}, at::kLong}, x);
  check(kWhere, state.mean, {"state.mean", "[B, G]", {batch_size, num_groups}, at::kDouble}, x);
  check(kWhere, state.variance, {"state.variance", "[B, G]", {batch_size, num_groups}, at::kDouble}, x);
  check_range(state.count, "state.count", kLargestCount, "2^53");
}

void check_options(const TimestepNormOptions& options, const at::Tensor& x, int64_t num_groups) {
  const auto batch_size = x.size(0), seq_len = x.size(1);
  require(options.count_cap >= 0,
          [&] { return Complaint{.where = kWhere, .expected = "count_cap 0 (exact) or larger", .got = c10::str(options.count_cap)}; });
  if (options.state) check_state(*options.state, x, num_groups);
  if (options.restart) check(kWhere, *options.restart, {"restart", "[B, T]", {batch_size, seq_len}, at::kBool}, x);
  if (!options.lengths) return;
  check(kWhere, *options.lengths, {"lengths", "[B]", {batch_size}, at::kLong}, x);
  check_range(*options.lengths, "lengths", seq_len, c10::str("T = ", seq_len).c_str());
}

}  // namespace

void check_norm_arguments(const char* where, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t num_groups,
                          const std::optional<at::Tensor>& mask, double eps) {
  require(x.defined(), [&] { return Complaint{.where = where, .expected = "x", .got = "an undefined tensor"}; });
  require(x.dim() == 3 && x.numel() > 0,
          [&] { return Complaint{.where = where, .expected = "x [B, T, D] with every size at least 1", .got = c10::str(x.sizes())}; });
  require(x.scalar_type() == at::kDouble || x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16,
          [&] { return Complaint{.where = where, .expected = "x Double, Float or BFloat16", .got = c10::str(x.scalar_type())}; });
  const auto model_dim = x.size(2);
  require(num_groups >= 1 && model_dim % num_groups == 0,
          [&] { return Complaint{.where = where, .expected = c10::str("num_groups that divides D = ", model_dim), .got = c10::str(num_groups)}; });
  check(where, weight, {"weight", "[D]", {model_dim}, std::nullopt}, x);
  check(where, bias, {"bias", "[D]", {model_dim}, std::nullopt}, x);
  if (mask) check(where, *mask, {"mask", "[B, T]", {x.size(0), x.size(1)}, at::kBool}, x);
  require(eps > 0 && std::isfinite(eps),
          [&] { return Complaint{.where = where, .expected = "eps above 0", .got = c10::str(eps), .hint = "the variance of equal features is 0"}; });
}

TimestepNormResult timestep_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t num_groups,
                                 const TimestepNormOptions& options) {
  check_norm_arguments(kWhere, x, weight, bias, num_groups, options.mask, options.eps);
  check_options(options, x, num_groups);
  if (!timestep_norm_has_kernel(x)) return timestep_norm_reference(x, weight, bias, num_groups, options);
  const auto given = [](const std::optional<at::Tensor>& tensor) { return tensor ? *tensor : at::Tensor(); };
  const TimestepNormState state = options.state.value_or(TimestepNormState{});
  const TimestepNormArguments arguments = {.x = x,
                                           .weight = weight.to(at::kFloat),
                                           .bias = bias.to(at::kFloat),
                                           .count = state.count,
                                           .mean = state.mean,
                                           .variance = state.variance,
                                           .restart = given(options.restart),
                                           .lengths = given(options.lengths),
                                           .mask = given(options.mask),
                                           .num_groups = num_groups,
                                           .count_cap = options.count_cap,
                                           .eps = options.eps};
  const bool differentiable = x.requires_grad() || weight.requires_grad() || bias.requires_grad() ||
                              (options.state && (state.mean.requires_grad() || state.variance.requires_grad()));
  return at::GradMode::is_enabled() && differentiable ? timestep_norm_autograd(arguments) : timestep_norm_kernel_forward(arguments, false).result;
}

}  // namespace everlong::ops
