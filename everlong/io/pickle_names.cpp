#include "everlong/io/pickle_names.h"

#include <array>

namespace everlong::io {
namespace {

using enum NameRole;

constexpr std::array kNames{
    PickleName{"torch._utils", "_rebuild_tensor_v2", rebuild_tensor_2},
    PickleName{"torch", "FloatStorage", storage_type, Dtype::F32},
    PickleName{"torch", "DoubleStorage", storage_type, Dtype::F64},
    PickleName{"torch", "HalfStorage", storage_type, Dtype::F16},
    PickleName{"torch", "BFloat16Storage", storage_type, Dtype::BF16},
    PickleName{"torch", "LongStorage", storage_type, Dtype::I64},
    PickleName{"torch", "IntStorage", storage_type, Dtype::I32},
    PickleName{"torch", "ShortStorage", storage_type, Dtype::I16},
    PickleName{"torch", "CharStorage", storage_type, Dtype::I8},
    PickleName{"torch", "ByteStorage", storage_type, Dtype::U8},
    PickleName{"torch", "BoolStorage", storage_type, Dtype::BOOL},
    PickleName{"torch.storage", "UntypedStorage", untyped_storage},
    PickleName{"torch", "UntypedStorage", untyped_storage},
    PickleName{"torch._utils", "_rebuild_tensor", rebuild_tensor},
    PickleName{"torch._utils", "_rebuild_tensor_v3", rebuild_tensor_3},
    PickleName{"torch._utils", "_rebuild_parameter", rebuild_parameter},
    PickleName{"torch._utils", "_rebuild_parameter_with_state", rebuild_parameter},
    PickleName{"collections", "OrderedDict", ordered_dict},
    PickleName{"argparse", "Namespace", name_space},
    PickleName{"__builtin__", "set", set},
    PickleName{"builtins", "set", set},
    PickleName{"__builtin__", "frozenset", set},
    PickleName{"builtins", "frozenset", set},
    PickleName{"_codecs", "encode", encode},
    PickleName{"__builtin__", "bytes", bytes},
    PickleName{"builtins", "bytes", bytes},
    PickleName{"__builtin__", "bytearray", bytes},
    PickleName{"builtins", "bytearray", bytes},
    PickleName{"torch", "Size", size},
    PickleName{"torch", "device", device},
    PickleName{"torch", "float32", dtype, Dtype::F32},
    PickleName{"torch", "float64", dtype, Dtype::F64},
    PickleName{"torch", "float16", dtype, Dtype::F16},
    PickleName{"torch", "bfloat16", dtype, Dtype::BF16},
    PickleName{"torch", "int64", dtype, Dtype::I64},
    PickleName{"torch", "int32", dtype, Dtype::I32},
    PickleName{"torch", "int16", dtype, Dtype::I16},
    PickleName{"torch", "int8", dtype, Dtype::I8},
    PickleName{"torch", "uint64", dtype, Dtype::U64},
    PickleName{"torch", "uint32", dtype, Dtype::U32},
    PickleName{"torch", "uint16", dtype, Dtype::U16},
    PickleName{"torch", "uint8", dtype, Dtype::U8},
    PickleName{"torch", "bool", dtype, Dtype::BOOL},
    PickleName{"torch", "float8_e4m3fn", dtype, Dtype::F8_E4M3},
    PickleName{"torch", "float8_e5m2", dtype, Dtype::F8_E5M2},
};

}  // namespace

std::span<const PickleName> pickle_names() { return kNames; }

const PickleName* find_pickle_name(std::string_view module, std::string_view name) {
  for (const PickleName& known : kNames)
    if (known.name == name && known.module == module) return &known;
  return nullptr;
}

}  // namespace everlong::io
