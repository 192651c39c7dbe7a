#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/checkpoint/tensor_file.h"
#include "everlong/io/weight_map.h"
#include "everlong/tensor/torch.h"

namespace everlong::checkpoint {
namespace {

constexpr const char* kWhole = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

int64_t bytes_of(const at::Tensor& tensor) { return static_cast<int64_t>(tensor.nbytes()); }

/// Fills one shard after another in the order of the names.
std::vector<TensorMap> split(const TensorMap& tensors, int64_t max_shard_bytes) {
  std::vector<TensorMap> shards(1);
  int64_t filled = 0;
  for (const auto& [name, tensor] : tensors) {
    if (max_shard_bytes > 0 && !shards.back().empty() && bytes_of(tensor) > max_shard_bytes - filled) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().emplace(name, tensor);
    filled += bytes_of(tensor);
  }
  return shards;
}

/// Shards of an earlier index, unless they are among those of now.
void remove_shards(const std::filesystem::path& folder, const io::WeightMap& old, const io::WeightMap& now) {
  const auto kept = io::shards_of(now);
  for (const std::string& shard : io::shards_of(old))
    if (!kept.contains(shard)) std::filesystem::remove(folder / shard);
}

io::WeightMap old_weight_map(const std::filesystem::path& folder) {
  if (!std::filesystem::exists(folder / kIndex)) return {};
  try {
    return io::read_weight_map(folder / kIndex, ".safetensors");
  } catch (const FormatError&) {
    return {};  // nothing is known about its shards; the index itself is replaced
  }
}

}  // namespace

std::vector<std::string> save_weights(const std::filesystem::path& folder, const TensorMap& tensors, const Metadata& metadata,
                                      int64_t max_shard_bytes) {
  require(max_shard_bytes >= 0,
          [&] { return Complaint{.where = "save_weights", .expected = "max_shard_bytes >= 0", .got = fmt::format("{}", max_shard_bytes)}; });
  const std::vector<TensorMap> shards = split(tensors, max_shard_bytes);
  const io::WeightMap old = old_weight_map(folder);
  std::vector<std::string> files;
  io::WeightMap weight_map;
  if (shards.size() == 1) {
    save_tensors(folder / kWhole, tensors, metadata);
    std::filesystem::remove(folder / kIndex);
    files.emplace_back(kWhole);
  } else {
    int64_t total = 0;
    for (size_t i = 0; i < shards.size(); ++i) {
      files.push_back(fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size()));
      save_tensors(folder / files.back(), shards[i], metadata);
      for (const auto& [name, tensor] : shards[i]) {
        weight_map[name] = files.back();
        total += bytes_of(tensor);
      }
    }
    io::write_weight_map(folder / kIndex, weight_map, total);
    std::filesystem::remove(folder / kWhole);
    files.emplace_back(kIndex);
  }
  remove_shards(folder, old, weight_map);
  return files;
}

}  // namespace everlong::checkpoint
