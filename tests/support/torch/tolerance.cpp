#include "tests/support/torch/tolerance.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include <ATen/ATen.h>
#include <c10/util/StringUtil.h>

namespace everlong::testing {
namespace {

std::string index_text(int64_t flat, at::IntArrayRef sizes) {
  std::vector<int64_t> index(sizes.size());
  for (size_t i = sizes.size(); i-- > 0;) {
    index[i] = flat % sizes[i];
    flat /= sizes[i];
  }
  return c10::str(at::IntArrayRef(index));
}

std::string shape_text(const at::Tensor& tensor) { return c10::str(tensor.sizes(), " ", tensor.scalar_type()); }

}  // namespace

double unit_roundoff(at::ScalarType dtype) {
  switch (dtype) {
    case at::kDouble:
    case at::kComplexDouble:
      return std::ldexp(1.0, -53);
    case at::kFloat:
    case at::kComplexFloat:
      return std::ldexp(1.0, -24);
    case at::kHalf:
      return std::ldexp(1.0, -11);
    case at::kBFloat16:
      return std::ldexp(1.0, -8);
    default:
      throw std::invalid_argument(c10::str("unit_roundoff of ", dtype));
  }
}

Tolerance tolerance_for(int64_t reduction_len, at::ScalarType accumulated, at::ScalarType returned) {
  const double sum = 4 * (std::sqrt(static_cast<double>(reduction_len)) + 4) * unit_roundoff(accumulated);
  const double rounding = unit_roundoff(returned) > unit_roundoff(accumulated) ? unit_roundoff(returned) : 0;
  return {.relative = sum + rounding};
}

::testing::AssertionResult all_close(const at::Tensor& actual, const at::Tensor& expected, Tolerance tolerance) {
  if (actual.sizes() != expected.sizes()) {
    return ::testing::AssertionFailure() << "shapes differ: " << shape_text(actual) << " against " << shape_text(expected);
  }
  if (actual.numel() == 0) return ::testing::AssertionSuccess();
  const auto wide = at::isComplexType(expected.scalar_type()) ? at::kComplexDouble : at::kDouble;
  const auto flat = [&](const at::Tensor& tensor) { return tensor.detach().to(at::kCPU, wide).contiguous().view(-1); };
  const at::Tensor a = flat(actual), e = flat(expected);
  const at::Tensor same = a.eq(e).logical_or(a.isnan().logical_and(e.isnan()));
  const at::Tensor error = at::where(same, at::zeros({}, at::kDouble), (a - e).abs()).nan_to_num(INFINITY, INFINITY);
  const at::Tensor scale = e.abs().nan_to_num(0, 0, 0);
  const double worst = error.max().item<double>(), largest = scale.max().item<double>();
  if (worst <= tolerance.absolute + tolerance.relative * largest) return ::testing::AssertionSuccess();
  const int64_t at_worst = error.argmax().item<int64_t>();
  const double rms = std::sqrt(error.square().mean().item<double>() / std::max(scale.square().mean().item<double>(), 1e-300));
  return ::testing::AssertionFailure() << shape_text(actual) << " at " << index_text(at_worst, actual.sizes()) << ": got " << a[at_worst].item()
                                       << ", expected " << e[at_worst].item() << "\n  max abs error " << worst << " (allowed " << tolerance.absolute
                                       << " + " << tolerance.relative << " x " << largest << "), rel rms error " << rms;
}

::testing::AssertionResult all_equal(const at::Tensor& actual, const at::Tensor& expected) {
  if (actual.scalar_type() != expected.scalar_type()) {
    return ::testing::AssertionFailure() << "dtypes differ: " << shape_text(actual) << " against " << shape_text(expected);
  }
  return all_close(actual, expected, {});
}

}  // namespace everlong::testing
