#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/checkpoint/tensor_file.h"
#include "everlong/checkpoint/torch_tensors.h"
#include "everlong/io/weight_map.h"
#include "everlong/tensor/torch.h"

namespace everlong::checkpoint {
namespace {

/// Names of a model directory's files in one format.
struct Names {
  WeightFormat format;
  std::string_view stem, extension;

  [[nodiscard]] std::string whole() const { return fmt::format("{}{}", stem, extension); }
  [[nodiscard]] std::string index() const { return fmt::format("{}{}.index.json", stem, extension); }
  [[nodiscard]] std::string shard(size_t i, size_t count) const { return fmt::format("{}-{:05}-of-{:05}{}", stem, i + 1, count, extension); }
};

constexpr std::array<Names, 2> kNames{{{WeightFormat::safetensors, "model", ".safetensors"}, {WeightFormat::torch, "pytorch_model", ".bin"}}};

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

void save_file(const std::filesystem::path& path, const TensorMap& tensors, const SaveOptions& options) {
  if (options.format == WeightFormat::torch)
    save_torch_tensors(path, tensors);
  else
    save_tensors(path, tensors, options.metadata);
}

/// The names of everything that holds weights in the folder now.
std::vector<std::string> weights_in(const std::filesystem::path& folder) {
  std::vector<std::string> found;
  for (const Names& names : kNames) {
    found.push_back(names.whole());
    if (!std::filesystem::exists(folder / names.index())) continue;
    found.push_back(names.index());
    try {
      for (const std::string& shard : io::shards_of(io::read_weight_map(folder / names.index(), names.extension))) found.push_back(shard);
    } catch (const FormatError&) {
      // nothing is known about its shards; the index itself is replaced
    }
  }
  return found;
}

}  // namespace

std::vector<std::string> save_weights(const std::filesystem::path& folder, const TensorMap& tensors, const SaveOptions& options) {
  require(options.max_shard_bytes >= 0,
          [&] { return Complaint{.where = "save_weights", .expected = "max_shard_bytes >= 0", .got = fmt::format("{}", options.max_shard_bytes)}; });
  const Names& names = kNames[options.format == WeightFormat::torch ? 1 : 0];
  const std::vector<TensorMap> shards = split(tensors, options.max_shard_bytes);
  const std::vector<std::string> old = weights_in(folder);
  std::vector<std::string> files;
  if (shards.size() == 1) {
    files.push_back(names.whole());
    save_file(folder / files.back(), tensors, options);
  } else {
    int64_t total = 0;
    io::WeightMap weight_map;
    for (size_t i = 0; i < shards.size(); ++i) {
      files.push_back(names.shard(i, shards.size()));
      save_file(folder / files.back(), shards[i], options);
      for (const auto& [name, tensor] : shards[i]) {
        weight_map[name] = files.back();
        total += bytes_of(tensor);
      }
    }
    files.push_back(names.index());
    io::write_weight_map(folder / files.back(), weight_map, total);
  }
  for (const std::string& name : old)
    if (std::find(files.begin(), files.end(), name) == files.end()) std::filesystem::remove(folder / name);
  return files;
}

}  // namespace everlong::checkpoint
