#include "everlong/checkpoint/dtypes.h"

#include <array>
#include <utility>

#include "everlong/base/error.h"

namespace everlong::checkpoint {
namespace {

constexpr std::array<std::pair<io::Dtype, at::ScalarType>, 13> kDtypes{{{io::Dtype::F64, at::kDouble},
                                                                        {io::Dtype::F32, at::kFloat},
                                                                        {io::Dtype::F16, at::kHalf},
                                                                        {io::Dtype::BF16, at::kBFloat16},
                                                                        {io::Dtype::I64, at::kLong},
                                                                        {io::Dtype::I32, at::kInt},
                                                                        {io::Dtype::I16, at::kShort},
                                                                        {io::Dtype::I8, at::kChar},
                                                                        {io::Dtype::U8, at::kByte},
                                                                        {io::Dtype::U16, at::kUInt16},
                                                                        {io::Dtype::U32, at::kUInt32},
                                                                        {io::Dtype::U64, at::kUInt64},
                                                                        {io::Dtype::BOOL, at::kBool}}};

}  // namespace

at::ScalarType torch_dtype(io::Dtype dtype, const std::string& name, const std::string& file) {
  for (const auto& pair : kDtypes)
    if (pair.first == dtype) return pair.second;
  throw Unsupported({.where = file,
                     .expected = "tensors of F64, F32, F16, BF16, integers or BOOL",
                     .got = name + " of dtype " + std::string(io::to_string(dtype)),
                     .hint = "convert it to BF16 with the tool that wrote it"});
}

io::Dtype file_dtype(at::ScalarType dtype, const std::string& name) {
  for (const auto& pair : kDtypes)
    if (pair.second == dtype) return pair.first;
  throw InvalidArgument({.where = name, .expected = "a dtype that files can name", .got = c10::toString(dtype)});
}

}  // namespace everlong::checkpoint
