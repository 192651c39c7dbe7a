#include "everlong/io/safetensors_set.h"

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/weight_map.h"

namespace everlong::io {
namespace {

constexpr std::string_view kWholeFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";

/// A folder stands for the file in it.
std::filesystem::path file_meant_by(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return path;
  return std::filesystem::exists(path / kIndexFile) && !std::filesystem::exists(path / kWholeFile) ? path / kIndexFile : path / kWholeFile;
}

std::vector<ShardTensor> tensors_of(const SafetensorsFile& shard) {
  std::vector<ShardTensor> tensors;
  for (const TensorEntry& tensor : shard.tensors()) tensors.push_back({.name = tensor.name, .offset = tensor.offset});
  return tensors;
}

}  // namespace

SafetensorsSet SafetensorsSet::open(const std::filesystem::path& path) {
  SafetensorsSet set;
  set.path_ = path;
  const auto file = file_meant_by(path);
  if (file.extension() == ".json") {
    const WeightMap weight_map = read_weight_map(file, ".safetensors");
    for (const std::string& shard : shards_of(weight_map)) set.files_.push_back(SafetensorsFile::open(file.parent_path() / shard));
    for (const SafetensorsFile& shard : set.files_) check_shard(shard.path(), tensors_of(shard), weight_map, file);
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
