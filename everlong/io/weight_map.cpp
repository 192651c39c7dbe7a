#include "everlong/io/weight_map.h"

#include <nlohmann/json.hpp>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/json.h"

namespace everlong::io {

WeightMap read_weight_map(const std::filesystem::path& index, std::string_view extension) {
  const Json json = read_json_file(index);
  const FileLocation location{.file = index.string(), .field = "weight_map"};
  if (!json.is_object() || !json.contains("weight_map")) throw FormatError(location, "an object from tensor names to files", "none");
  const Json& weight_map = json["weight_map"];
  if (!weight_map.is_object()) throw FormatError(location, "an object from tensor names to files", weight_map.type_name());
  WeightMap shards;
  for (const auto& [name, shard] : weight_map.items()) {
    const FileLocation entry{.file = index.string(), .field = "weight_map." + excerpt(name)};
    if (!shard.is_string()) throw FormatError(entry, "the name of a file", shard.type_name());
    const auto& file = shard.get_ref<const std::string&>();
    const bool is_name = file.ends_with(extension) && file.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
    if (!is_name) throw FormatError(entry, fmt::format("the name of a {} file beside the index", extension), excerpt(file));
    if (!std::filesystem::exists(index.parent_path() / file))
      throw FormatError(entry, "a file beside the index", excerpt(file) + ", which is missing");
    shards[name] = file;
  }
  return shards;
}

std::set<std::string> shards_of(const WeightMap& weight_map) {
  std::set<std::string> shards;
  for (const auto& [name, shard] : weight_map) shards.insert(shard);
  return shards;
}

void check_shard(const std::filesystem::path& shard, const std::vector<ShardTensor>& tensors, const WeightMap& weight_map,
                 const std::filesystem::path& index) {
  const std::string file = shard.filename().string();
  std::set<std::string_view> present;
  for (const ShardTensor& tensor : tensors) {
    const auto found = weight_map.find(tensor.name);
    const FileLocation location{shard.string(), tensor.offset, excerpt(tensor.name)};
    if (found == weight_map.end()) throw FormatError(location, "a tensor that " + index.filename().string() + " names", "one that it does not");
    if (found->second != file) throw FormatError(location, fmt::format("this tensor in {} only", excerpt(found->second)), "it here too");
    present.insert(tensor.name);
  }
  for (const auto& [name, place] : weight_map) {
    if (place != file || present.contains(name)) continue;
    throw FormatError({shard.string(), -1, excerpt(name)}, fmt::format("a tensor of this name, as {} says", index.filename().string()), "none");
  }
}

void write_weight_map(const std::filesystem::path& index, const WeightMap& weight_map, int64_t total_bytes) {
  write_json(index, OrderedJson{{"metadata", {{"total_size", total_bytes}}}, {"weight_map", weight_map}});
}

}  // namespace everlong::io
