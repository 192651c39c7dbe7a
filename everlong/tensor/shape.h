#pragma once
// Tensors in words, and checks whose messages show both sides.

#include <initializer_list>
#include <string>
#include <string_view>

#include <ATen/core/Tensor.h>

namespace everlong {

/// "float [2, 16, 8] on cpu", or "no tensor".
[[nodiscard]] std::string describe(const at::Tensor& tensor);

/// "[2, 16, 8]"
[[nodiscard]] std::string shape_text(at::IntArrayRef sizes);

/// Throws InvalidArgument unless `tensor` has exactly `sizes`; -1 allows any size there.
/// `axes` names them in the message: require_shape("ema", "q", q, "[D, N]", {d, n}).
void require_shape(std::string_view where, std::string_view name, const at::Tensor& tensor, std::string_view axes, at::IntArrayRef sizes);

}  // namespace everlong
