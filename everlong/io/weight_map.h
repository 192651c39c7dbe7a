#pragma once
// The index of a model in shards: which file holds which tensor.

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace everlong::io {

/// Tensor name to the name of its shard.
using WeightMap = std::map<std::string, std::string>;

/// Reads "weight_map" of an index (*.index.json) whose shards lie beside it and end in `extension`.
/// Errors   IoError; FormatError if the index names a file outside its folder, of another extension, or one that is missing
[[nodiscard]] WeightMap read_weight_map(const std::filesystem::path& index, std::string_view extension);

/// The shards, each once, sorted.
[[nodiscard]] std::set<std::string> shards_of(const WeightMap& weight_map);

struct ShardTensor {
  std::string name;
  int64_t offset = -1;  ///< in the shard, for messages
};

/// Holds a shard's tensors against the index.
/// Errors   FormatError if the shard lacks a tensor that the index puts there, or holds one that the index puts elsewhere or does not name
void check_shard(const std::filesystem::path& shard, const std::vector<ShardTensor>& tensors, const WeightMap& weight_map,
                 const std::filesystem::path& index);

/// Writes an index atomically, as Hugging Face does. Errors  IoError
void write_weight_map(const std::filesystem::path& index, const WeightMap& weight_map, int64_t total_bytes);

}  // namespace everlong::io
