#include "everlong/tensor/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "everlong/base/error.h"
#include "everlong/tensor/torch.h"

namespace everlong {

std::string shape_text(at::IntArrayRef sizes) { return fmt::format("[{}]", fmt::join(sizes.begin(), sizes.end(), ", ")); }

std::string describe(const at::Tensor& tensor) {
  if (!tensor.defined()) return "no tensor";
  return fmt::format("{} {} on {}", c10::toString(tensor.scalar_type()), shape_text(tensor.sizes()), tensor.device().str());
}

void require_shape(std::string_view where, std::string_view name, const at::Tensor& tensor, std::string_view axes, at::IntArrayRef sizes) {
  bool same = tensor.defined() && tensor.dim() == static_cast<int64_t>(sizes.size());
  for (size_t i = 0; same && i < sizes.size(); ++i) same = sizes[i] < 0 || tensor.size(static_cast<int64_t>(i)) == sizes[i];
  require(same, [&] {
    std::string expected;
    for (size_t i = 0; i < sizes.size(); ++i) expected += fmt::format("{}{}", i == 0 ? "" : ", ", sizes[i] < 0 ? "any" : fmt::format("{}", sizes[i]));
    return Complaint{.where = where, .expected = fmt::format("{} {} = [{}]", name, axes, expected), .got = describe(tensor)};
  });
}

}  // namespace everlong
