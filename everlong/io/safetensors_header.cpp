// The header of a safetensors file: events of the JSON parser go straight into tensor entries, so that memory stays near the size of the header.

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "everlong/base/checked_math.h"
#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/json_events.h"
#include "everlong/io/safetensors.h"

namespace everlong::io {
namespace {

constexpr std::string_view kMetadata = "__metadata__";
constexpr int64_t kLengthBytes = 8;

class HeaderReader {
 public:
  HeaderReader(JsonText& text, int64_t data_offset, int64_t data_bytes) : text_(text), data_offset_(data_offset), data_bytes_(data_bytes) {}

  bool null() { refuse("null"); }
  bool boolean(bool value) { refuse(value ? "true" : "false"); }
  bool number_integer(int64_t value) { refuse(fmt::format("{}", value)); }
  bool number_float(double, const std::string& digits) { refuse(excerpt(digits)); }
  bool binary(nlohmann::json::binary_t&) { return false; }

  bool number_unsigned(uint64_t value) {
    const auto number = checked_cast<int64_t>(value);
    const bool is_full = place_ == Place::in_shape ? shape_.size() == kMaxTensorRank : offsets_.size() == 2;
    if ((place_ != Place::in_shape && place_ != Place::in_offsets) || !number || is_full) refuse(fmt::format("{}", value));
    (place_ == Place::in_shape ? shape_ : offsets_).push_back(*number);
    return true;
  }

  bool string(std::string& value) {
    if (place_ == Place::metadata_value) {
      header_.metadata[field_] = std::move(value);
      place_ = Place::in_metadata;
      return true;
    }
    if (place_ == Place::dtype) dtype_ = dtype_from_name(value);
    if (place_ != Place::dtype || !dtype_) refuse(excerpt(value));
    place_ = Place::in_tensor;
    return true;
  }

  bool start_object(size_t) {
    if (place_ == Place::start) {
      place_ = Place::top;
    } else if (place_ == Place::tensor) {
      place_ = name_ == kMetadata ? Place::in_metadata : Place::in_tensor;
    } else {
      refuse("an object");
    }
    return true;
  }

  bool start_array(size_t) {
    if (place_ != Place::shape && place_ != Place::offsets) refuse("a list");
    place_ = place_ == Place::shape ? Place::in_shape : Place::in_offsets;
    return true;
  }

  bool end_array() {
    if (place_ == Place::in_offsets && offsets_.size() != 2) refuse(fmt::format("{} of them", offsets_.size()));
    place_ = Place::in_tensor;
    return true;
  }

  bool end_object() {
    if (place_ == Place::in_tensor) finish_tensor();
    place_ = Place::top;
    return true;
  }

  bool key(std::string& name) {
    key_offset_ = text_.offset_of_last_string();
    if (place_ == Place::top) {
      start_tensor(name);
    } else if (place_ == Place::in_metadata) {
      field_ = std::move(name);
      place_ = Place::metadata_value;
      if (header_.metadata.contains(field_)) throw FormatError(here(), "each key once", "a duplicate");
    } else {
      start_field(name);
    }
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception& error) {
    text_.refuse_syntax(position, error.what(), name_.empty() ? "header" : here().field);
  }

  [[nodiscard]] SafetensorsHeader take() { return std::move(header_); }

 private:
  enum class Place { start, top, tensor, in_metadata, metadata_value, in_tensor, dtype, shape, in_shape, offsets, in_offsets };

  FileLocation here() const {
    std::string field = name_.empty() ? "header" : excerpt(name_);
    if (!field_.empty()) field += '.' + excerpt(field_);
    return {text_.file, key_offset_, field};
  }

  std::string_view expected() const {
    switch (place_) {
      case Place::tensor:
        return name_ == kMetadata ? "an object from text to text" : "an object with dtype, shape and data_offsets";
      case Place::metadata_value:
        return "text";
      case Place::dtype:
        return "one of F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, BOOL, F8_E4M3, F8_E5M2";
      case Place::shape:
      case Place::in_shape:
        return "a list of at most 64 integers >= 0";
      case Place::offsets:
      case Place::in_offsets:
        return "two integers >= 0, begin and end";
      default:
        return "a JSON object";
    }
  }

  [[noreturn]] void refuse(std::string_view got) const { throw FormatError(here(), expected(), got); }

  void start_tensor(std::string& name) {
    name_ = std::move(name);
    field_.clear();
    const bool is_metadata = name_ == kMetadata;
    if (is_metadata ? has_metadata_ : header_.index.contains(name_)) throw FormatError(here(), "each name once", "a duplicate");
    has_metadata_ = has_metadata_ || is_metadata;
    if (!is_metadata) header_.index.emplace(name_, header_.tensors.size());
    name_offset_ = key_offset_;
    dtype_.reset();
    seen_ = {};
    shape_.clear();
    offsets_.clear();
    place_ = Place::tensor;
  }

  void start_field(std::string& name) {
    field_ = std::move(name);
    constexpr std::pair<std::string_view, Place> kFields[] = {{"dtype", Place::dtype}, {"shape", Place::shape}, {"data_offsets", Place::offsets}};
    for (size_t i = 0; i < 3; ++i) {
      if (kFields[i].first != field_) continue;
      if (std::exchange(seen_[i], true)) throw FormatError(here(), "each key once", "a duplicate");
      place_ = kFields[i].second;
      return;
    }
    throw FormatError(here(), "dtype, shape or data_offsets", excerpt(field_));
  }

  void finish_tensor() {
    key_offset_ = name_offset_;
    for (const auto& [field, seen] : {std::pair("dtype", seen_[0]), std::pair("shape", seen_[1]), std::pair("data_offsets", seen_[2])}) {
      field_ = field;
      if (!seen) throw FormatError(here(), "dtype, shape and data_offsets", "none");
    }
    const auto got = [&] { return fmt::format("[{}, {}]", offsets_[0], offsets_[1]); };
    if (offsets_[0] > offsets_[1]) throw FormatError(here(), "begin <= end", got());
    if (offsets_[1] > data_bytes_) throw FormatError(here(), fmt::format("offsets within {} bytes of data", data_bytes_), got());
    const auto bytes = tensor_bytes(*dtype_, shape_);
    const auto what = [&] { return fmt::format("{} [{}]", to_string(*dtype_), fmt::join(shape_, ", ")); };
    if (!bytes) {
      field_ = "shape";
      throw FormatError(here(), "a size in bytes below 2^63", what());
    }
    if (*bytes != offsets_[1] - offsets_[0]) {
      throw FormatError(here(), fmt::format("{} bytes for {}", *bytes, what()), fmt::format("{}", offsets_[1] - offsets_[0]));
    }
    header_.tensors.push_back({.name = name_, .dtype = *dtype_, .shape = shape_, .offset = data_offset_ + offsets_[0], .size_bytes = *bytes});
  }

  JsonText& text_;
  int64_t data_offset_, data_bytes_;
  SafetensorsHeader header_;
  Place place_ = Place::start;
  bool has_metadata_ = false;
  std::string name_, field_;
  int64_t name_offset_ = 0, key_offset_ = kLengthBytes;
  std::optional<Dtype> dtype_;
  std::array<bool, 3> seen_{};
  std::vector<int64_t> shape_, offsets_;
};

/// Orders tensors by their data and checks that they fill it.
void check_data_is_filled(SafetensorsHeader& header, const std::string& file, int64_t data_offset, int64_t file_bytes) {
  auto& tensors = header.tensors;
  const auto key = [](const TensorEntry& tensor) { return std::tie(tensor.offset, tensor.size_bytes, tensor.name); };
  std::sort(tensors.begin(), tensors.end(), [&](const TensorEntry& a, const TensorEntry& b) { return key(a) < key(b); });
  int64_t filled = data_offset;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorEntry& tensor = tensors[i];
    header.index[tensor.name] = i;
    const FileLocation location{file, tensor.offset, excerpt(tensor.name)};
    const auto expected = [&] { return fmt::format("data from {} on", filled); };
    if (tensor.offset < filled) throw FormatError(location, expected(), "an overlap with the tensor before");
    if (tensor.offset > filled) throw FormatError(location, expected(), fmt::format("a hole of {} bytes", tensor.offset - filled));
    filled = tensor.offset + tensor.size_bytes;
  }
  if (filled != file_bytes) {
    throw FormatError({file, filled, "data"}, "the end of the file after the last tensor", fmt::format("{} more bytes", file_bytes - filled));
  }
}

}  // namespace

SafetensorsHeader parse_safetensors(std::span<const std::byte> file, std::string_view file_name) {
  const std::string name(file_name);
  const auto file_bytes = static_cast<int64_t>(file.size());
  const FileLocation length_field{name, 0, "header length"};
  if (file_bytes < kLengthBytes) throw FormatError(length_field, "8 bytes", fmt::format("{}", file_bytes));
  uint64_t length = 0;
  for (size_t i = 8; i-- > 0;) length = length << 8 | std::to_integer<uint64_t>(file[i]);
  if (length > static_cast<uint64_t>(kMaxSafetensorsHeaderBytes)) {
    throw FormatError(length_field, fmt::format("at most {} bytes", kMaxSafetensorsHeaderBytes), fmt::format("{}", length));
  }
  const auto header_bytes = static_cast<int64_t>(length);
  if (header_bytes > file_bytes - kLengthBytes) {
    throw FormatError(length_field, fmt::format("at most the {} bytes that follow", file_bytes - kLengthBytes), fmt::format("{}", length));
  }
  const auto bytes = file.subspan(kLengthBytes, static_cast<size_t>(header_bytes));
  JsonText text{.text = {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, .file = name, .base = kLengthBytes};
  if (!text.text.starts_with('{')) throw FormatError({name, kLengthBytes, "header"}, "a JSON object", excerpt(text.text.substr(0, 1)));
  const int64_t data_offset = kLengthBytes + header_bytes;
  HeaderReader reader(text, data_offset, file_bytes - data_offset);
  parse_json_events(text, reader);
  SafetensorsHeader header = reader.take();
  check_data_is_filled(header, name, data_offset, file_bytes);
  return header;
}

}  // namespace everlong::io
