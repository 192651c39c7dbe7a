#include "everlong/io/safetensors.h"

#include <algorithm>
#include <array>
#include <set>
#include <tuple>
#include <utility>

#include <nlohmann/json.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "everlong/base/checked_math.h"
#include "everlong/base/error.h"
#include "everlong/io/atomic_file.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/json.h"

namespace everlong::io {
namespace {

/// Checks one tensor by itself; returns the size of its data.
int64_t checked_size(const TensorToWrite& tensor, const std::string& file) {
  const std::string where = fmt::format("{}, {}", file, excerpt(tensor.name));
  require(is_valid_utf8(tensor.name) && tensor.name != "__metadata__",
          [&] { return Complaint{.where = where, .expected = "a name in UTF-8 other than __metadata__"}; });
  const auto bytes = tensor_bytes(tensor.dtype, tensor.shape);
  const std::string what = fmt::format("{} [{}]", to_string(tensor.dtype), fmt::join(tensor.shape, ", "));
  require(bytes.has_value() && tensor.shape.size() <= kMaxTensorRank,
          [&] { return Complaint{.where = where, .expected = "at most 64 sizes >= 0 and less than 2^63 bytes", .got = what}; });
  require(tensor.produce || std::cmp_equal(tensor.bytes.size(), *bytes), [&] {
    return Complaint{.where = where, .expected = fmt::format("{} bytes for {}", *bytes, what), .got = fmt::format("{}", tensor.bytes.size())};
  });
  return *bytes;
}

/// The header with its padding; checks the tensors, which are in the order of their data.
std::string header_text(const std::string& file, const std::vector<TensorToWrite>& tensors, const std::map<std::string, std::string>& metadata) {
  OrderedJson header = OrderedJson::object();
  // Pushed as pairs: assignment by key would search all earlier names each time.
  auto& members = header.get_ref<OrderedJson::object_t&>();
  if (!metadata.empty()) members.emplace_back("__metadata__", metadata);
  std::set<std::string_view> names;
  int64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    require(names.insert(tensor.name).second,
            [&] { return Complaint{.where = file, .expected = "each name once", .got = excerpt(tensor.name) + " twice"}; });
    const auto end = checked_add(offset, checked_size(tensor, file));
    require(end.has_value(), [&] { return Complaint{.where = file, .expected = "less than 2^63 bytes in all", .got = "more"}; });
    OrderedJson entry = {{"dtype", to_string(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {offset, *end}}};
    members.emplace_back(tensor.name, std::move(entry));
    offset = *end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception&) {
    throw InvalidArgument({.where = file, .expected = "metadata in UTF-8"});
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  require(std::cmp_less_equal(text.size(), kMaxSafetensorsHeaderBytes), [&] {
    return Complaint{
        .where = file, .expected = fmt::format("a header of at most {} bytes", kMaxSafetensorsHeaderBytes), .got = fmt::format("{}", text.size())};
  });
  return text;
}

void write_produced(AtomicFile& file, const TensorToWrite& tensor) {
  const int64_t before = file.written_bytes();
  tensor.produce([&](std::span<const std::byte> bytes) { file.write(bytes); });
  const int64_t sent = file.written_bytes() - before;
  const int64_t expected = tensor_bytes(tensor.dtype, tensor.shape).value_or(-1);
  require(sent == expected, [&] {
    return Complaint{.where = tensor.name, .expected = fmt::format("{} bytes from its producer", expected), .got = fmt::format("{}", sent)};
  });
}

}  // namespace

const TensorEntry* SafetensorsHeader::find(const std::string& name) const {
  const auto found = index.find(name);
  return found == index.end() ? nullptr : &tensors[found->second];
}

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  SafetensorsFile opened;
  opened.path_ = path;
  opened.file_ = MappedFile(path);
  opened.header_ = parse_safetensors(opened.file_.bytes(), path.string());
  return opened;
}

std::span<const std::byte> SafetensorsFile::bytes(const std::string& name) const {
  const TensorEntry* tensor = find(name);
  if (tensor == nullptr) throw FormatError({path_.string(), -1, excerpt(name)}, "a tensor of this name", "none");
  return bytes(*tensor);
}

std::span<const std::byte> SafetensorsFile::bytes(const TensorEntry& tensor) const {
  return file_.bytes().subspan(static_cast<size_t>(tensor.offset), static_cast<size_t>(tensor.size_bytes));
}

void write_safetensors(const std::filesystem::path& path, std::vector<TensorToWrite> tensors, const std::map<std::string, std::string>& metadata) {
  const auto key = [](const TensorToWrite& tensor) { return std::tuple(-bytes_per_element(tensor.dtype), std::string_view(tensor.name)); };
  std::sort(tensors.begin(), tensors.end(), [&](const TensorToWrite& a, const TensorToWrite& b) { return key(a) < key(b); });
  const std::string header = header_text(path.string(), tensors, metadata);
  AtomicFile file(path);
  std::array<std::byte, 8> length;
  for (size_t i = 0; i < 8; ++i) length[i] = static_cast<std::byte>(header.size() >> (8 * i) & 0xFF);
  file.write(length);
  file.write(header);
  for (const TensorToWrite& tensor : tensors) {
    if (tensor.produce)
      write_produced(file, tensor);
    else
      file.write(tensor.bytes);
  }
  file.commit();
}

}  // namespace everlong::io
