#include "everlong/io/dtype.h"

#include <algorithm>
#include <array>

#include "everlong/base/checked_math.h"

namespace everlong::io {
namespace {

struct DtypeRow {
  Dtype dtype;
  std::string_view name;
  int64_t bytes;
};

constexpr std::array<DtypeRow, 15> kDtypes{{
    {Dtype::F64, "F64", 8},
    {Dtype::F32, "F32", 4},
    {Dtype::F16, "F16", 2},
    {Dtype::BF16, "BF16", 2},
    {Dtype::I64, "I64", 8},
    {Dtype::I32, "I32", 4},
    {Dtype::I16, "I16", 2},
    {Dtype::I8, "I8", 1},
    {Dtype::U64, "U64", 8},
    {Dtype::U32, "U32", 4},
    {Dtype::U16, "U16", 2},
    {Dtype::U8, "U8", 1},
    {Dtype::BOOL, "BOOL", 1},
    {Dtype::F8_E4M3, "F8_E4M3", 1},
    {Dtype::F8_E5M2, "F8_E5M2", 1},
}};

const DtypeRow& row_of(Dtype dtype) { return kDtypes[static_cast<size_t>(dtype)]; }

}  // namespace

std::string_view to_string(Dtype dtype) { return row_of(dtype).name; }

std::optional<Dtype> dtype_from_name(std::string_view name) {
  const auto found = std::find_if(kDtypes.begin(), kDtypes.end(), [&](const DtypeRow& row) { return row.name == name; });
  if (found == kDtypes.end()) return std::nullopt;
  return found->dtype;
}

int64_t bytes_per_element(Dtype dtype) { return row_of(dtype).bytes; }

std::optional<int64_t> tensor_bytes(Dtype dtype, std::span<const int64_t> shape) {
  int64_t bytes = bytes_per_element(dtype);
  bool is_empty = false;
  for (const int64_t size : shape) {
    if (size < 0) return std::nullopt;
    is_empty = is_empty || size == 0;
    const auto product = checked_mul(bytes, std::max<int64_t>(size, 1));
    if (!product) return std::nullopt;
    bytes = *product;
  }
  return is_empty ? 0 : bytes;
}

}  // namespace everlong::io
