#include "everlong/io/safetensors_set.h"

#include <set>

#include <nlohmann/json.hpp>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/json.h"

namespace everlong::io {
namespace {

constexpr std::string_view kWholeFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";

/// A folder stands for the file in it.
std::filesystem::path file_meant_by(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return path;
  return std::filesystem::exists(path / kIndexFile) && !std::filesystem::exists(path / kWholeFile) ? path / kIndexFile : path / kWholeFile;
}

/// Which shard holds which tensor, by the index.
std::map<std::string, std::string> read_weight_map(const std::filesystem::path& index) {
  const Json json = read_json_file(index);
  const FileLocation location{.file = index.string(), .field = "weight_map"};
  if (!json.is_object() || !json.contains("weight_map")) throw FormatError(location, "an object from tensor names to files", "none");
  const Json& weight_map = json["weight_map"];
  if (!weight_map.is_object()) throw FormatError(location, "an object from tensor names to files", weight_map.type_name());
  std::map<std::string, std::string> shards;
  for (const auto& [name, shard] : weight_map.items()) {
    const FileLocation entry{.file = index.string(), .field = "weight_map." + excerpt(name)};
    if (!shard.is_string()) throw FormatError(entry, "the name of a file", shard.type_name());
    const auto& file = shard.get_ref<const std::string&>();
    const bool is_name = file.ends_with(".safetensors") && file.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
    if (!is_name) throw FormatError(entry, "the name of a .safetensors file beside the index", excerpt(file));
    if (!std::filesystem::exists(index.parent_path() / file))
      throw FormatError(entry, "a file beside the index", excerpt(file) + ", which is missing");
    shards[name] = file;
  }
  return shards;
}

void check_against_index(const SafetensorsFile& shard, const std::map<std::string, std::string>& weight_map, const std::filesystem::path& index) {
  const std::string file = shard.path().filename().string();
  for (const TensorEntry& tensor : shard.tensors()) {
    const auto found = weight_map.find(tensor.name);
    const FileLocation location{shard.path().string(), tensor.offset, excerpt(tensor.name)};
    if (found == weight_map.end()) throw FormatError(location, "a tensor that " + index.filename().string() + " names", "one that it does not");
    if (found->second != file) throw FormatError(location, fmt::format("this tensor in {} only", excerpt(found->second)), "it here too");
  }
  for (const auto& [name, place] : weight_map) {
    if (place != file || shard.find(name) != nullptr) continue;
    throw FormatError({shard.path().string(), -1, excerpt(name)}, fmt::format("a tensor of this name, as {} says", index.filename().string()),
                      "none");
  }
}

}  // namespace

SafetensorsSet SafetensorsSet::open(const std::filesystem::path& path) {
  SafetensorsSet set;
  set.path_ = path;
  const auto file = file_meant_by(path);
  if (file.extension() == ".json") {
    const auto weight_map = read_weight_map(file);
    std::set<std::string> shards;
    for (const auto& [name, shard] : weight_map) shards.insert(shard);
    for (const std::string& shard : shards) set.files_.push_back(SafetensorsFile::open(file.parent_path() / shard));
    for (const SafetensorsFile& shard : set.files_) check_against_index(shard, weight_map, file);
  } else {
    set.files_.push_back(SafetensorsFile::open(file));
  }
  for (const SafetensorsFile& opened : set.files_)
    for (const TensorEntry& tensor : opened.tensors()) set.tensors_[tensor.name] = {.file = &opened, .tensor = &tensor};
  return set;
}

const TensorEntry* SafetensorsSet::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second.tensor;
}

std::span<const std::byte> SafetensorsSet::bytes(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) throw FormatError({.file = path_.string(), .field = excerpt(name)}, "a tensor of this name", "none");
  return found->second.file->bytes(*found->second.tensor);
}

}  // namespace everlong::io
