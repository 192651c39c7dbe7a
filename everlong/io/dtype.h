#pragma once
// The number types of tensors on disk.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace everlong::io {

/// Names as safetensors spells them. The float8 types are known by name and size; whether they can be computed with is the reader's affair.
enum class Dtype { F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, BOOL, F8_E4M3, F8_E5M2 };

[[nodiscard]] std::string_view to_string(Dtype dtype);
[[nodiscard]] std::optional<Dtype> dtype_from_name(std::string_view name);
[[nodiscard]] int64_t bytes_per_element(Dtype dtype);

/// Bytes of a tensor; absent if a size is negative or the product of the sizes other than 0 overflows.
[[nodiscard]] std::optional<int64_t> tensor_bytes(Dtype dtype, std::span<const int64_t> shape);

}  // namespace everlong::io
