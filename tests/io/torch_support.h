#pragma once
// Values of PyTorch files as JSON, in the form of tests/data/torch_files/expected.json.

#include <cstring>
#include <string>

#include <nlohmann/json.hpp>

#include <fmt/format.h>

#include "everlong/io/torch_value.h"

namespace everlong::io {

inline double real_of(Dtype dtype, const std::byte* at) {
  if (dtype == Dtype::F64) {
    double value;
    std::memcpy(&value, at, 8);
    return value;
  }
  uint32_t bits = 0;
  std::memcpy(&bits, at, static_cast<size_t>(bytes_per_element(dtype)));
  if (dtype == Dtype::BF16) bits <<= 16;
  if (dtype == Dtype::F16) bits = (bits & 0x7FFF) == 0 ? 0 : ((bits & 0x7FFF) + ((127 - 15) << 10)) << 13;  // positive and normal, or zero
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

inline int64_t integer_of(Dtype dtype, const std::byte* at) {
  int64_t value = 0;
  const auto size = static_cast<size_t>(bytes_per_element(dtype));
  std::memcpy(&value, at, size);
  const bool is_signed = dtype == Dtype::I64 || dtype == Dtype::I32 || dtype == Dtype::I16 || dtype == Dtype::I8;
  const auto shift = static_cast<int>(64 - 8 * size);
  return is_signed ? static_cast<int64_t>(static_cast<uint64_t>(value) << shift) >> shift : value;
}

inline nlohmann::json described(const TorchTensor& tensor, std::span<const std::byte> storage) {
  static const std::map<Dtype, std::string> kNames{
      {Dtype::F64, "float64"}, {Dtype::F32, "float32"}, {Dtype::F16, "float16"}, {Dtype::BF16, "bfloat16"}, {Dtype::I64, "int64"},
      {Dtype::I32, "int32"},   {Dtype::I16, "int16"},   {Dtype::I8, "int8"},     {Dtype::U64, "uint64"},    {Dtype::U32, "uint32"},
      {Dtype::U16, "uint16"},  {Dtype::U8, "uint8"},    {Dtype::BOOL, "bool"}};
  nlohmann::json values = nlohmann::json::array();
  const bool is_real = tensor.dtype <= Dtype::BF16;
  for (int64_t i = 0; i < tensor.num_elements(); ++i) {
    int64_t place = tensor.offset, rest = i;
    for (size_t axis = tensor.shape.size(); axis-- > 0;) {
      place += rest % tensor.shape[axis] * tensor.strides[axis];
      rest /= tensor.shape[axis];
    }
    const std::byte* at = storage.data() + place * bytes_per_element(tensor.dtype);
    if (is_real)
      values.push_back(real_of(tensor.dtype, at));
    else
      values.push_back(integer_of(tensor.dtype, at));
  }
  return {{"dtype", kNames.at(tensor.dtype)}, {"shape", tensor.shape}, {"values", values}};
}

/// `bytes_of(storage)` gives the data of the storage at that place of the list.
nlohmann::json described(const TorchValue& value, const auto& bytes_of) {
  if (const auto* flag = value.get_if<bool>()) return *flag;
  if (const auto* integer = value.get_if<int64_t>()) return *integer;
  if (const auto* real = value.get_if<double>()) return *real;
  if (const auto* text = value.get_if<std::string>()) return *text;
  if (const auto* tensor = value.get_if<TorchTensor>()) return described(*tensor, bytes_of(tensor->storage));
  if (const auto* bytes = value.get_if<TorchBytes>()) {
    std::string hex;
    for (const char byte : bytes->data) hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    return hex;
  }
  if (const auto* sequence = value.get_if<TorchSequence>()) {
    nlohmann::json items = nlohmann::json::array();
    for (const TorchValue& item : sequence->items) items.push_back(described(item, bytes_of));
    return items;
  }
  if (const auto* dict = value.get_if<TorchDict>()) {
    nlohmann::json object = nlohmann::json::object();
    for (const TorchItem& item : dict->items) {
      const auto* key = item.key.get_if<std::string>();
      object[key != nullptr ? *key : described(item.key, bytes_of).dump()] = described(item.value, bytes_of);
    }
    return object;
  }
  return nullptr;
}

}  // namespace everlong::io
