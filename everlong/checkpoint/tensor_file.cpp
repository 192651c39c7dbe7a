#include "everlong/checkpoint/tensor_file.h"

#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/checkpoint/dtypes.h"
#include "everlong/checkpoint/torch_tensors.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/json.h"
#include "everlong/io/safetensors.h"
#include "everlong/io/safetensors_set.h"
#include "everlong/io/weight_map.h"
#include "everlong/tensor/torch.h"

namespace everlong::checkpoint {
namespace {

at::Tensor copy_out(const io::SafetensorsFile& file, const io::TensorEntry& entry) {
  at::Tensor tensor = at::empty(entry.shape, torch_dtype(entry.dtype, entry.name, file.path().string()));
  const auto bytes = file.bytes(entry);
  if (!bytes.empty()) std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
  return tensor;
}

TensorFile load_safetensors(const std::filesystem::path& path) {
  const auto file = io::SafetensorsFile::open(path);
  TensorFile loaded{.tensors = {}, .metadata = file.metadata(), .path = path};
  for (const io::TensorEntry& entry : file.tensors()) loaded.tensors.emplace(entry.name, copy_out(file, entry));
  return loaded;
}

bool is_torch_file(const std::filesystem::path& path) {
  return path.extension() != ".safetensors" && io::looks_like_torch_file(io::MappedFile(path).bytes());
}

TensorFile load_torch_shards(const std::filesystem::path& index) {
  const io::WeightMap weight_map = io::read_weight_map(index, ".bin");
  TensorFile loaded{.tensors = {}, .metadata = {}, .path = index};
  for (const std::string& name : io::shards_of(weight_map)) {
    const auto file = io::TorchFile::open(index.parent_path() / name);
    TensorFile shard = read_state_dict(file);
    std::vector<io::ShardTensor> tensors;
    for (const auto& entry : shard.tensors) tensors.push_back({.name = entry.first});
    io::check_shard(file.path(), tensors, weight_map, index);
    loaded.tensors.merge(shard.tensors);
    loaded.skipped.insert(loaded.skipped.end(), shard.skipped.begin(), shard.skipped.end());
  }
  return loaded;
}

TensorFile load_safetensors_shards(const std::filesystem::path& index) {
  const auto set = io::SafetensorsSet::open(index);
  TensorFile loaded{.tensors = {}, .metadata = {}, .path = index};
  for (const auto& [name, place] : set.tensors()) loaded.tensors.emplace(name, copy_out(*place.file, *place.tensor));
  return loaded;
}

}  // namespace

TensorFile load_tensors(const std::filesystem::path& path) {
  return is_torch_file(path) ? read_state_dict(io::TorchFile::open(path)) : load_safetensors(path);
}

std::filesystem::path find_weights(const std::filesystem::path& folder) {
  if (!std::filesystem::is_directory(folder)) return folder;
  for (const char* name :
       {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.pth"})
    if (std::filesystem::exists(folder / name)) return folder / name;
  return folder / "model.safetensors";
}

std::vector<std::filesystem::path> find_model_shards(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  const auto next = [&] { return folder / fmt::format("consolidated.{:02}.pth", found.size()); };
  while (std::filesystem::exists(next())) found.push_back(next());
  const auto about = folder / "consolidate_config.json";
  if (found.empty() || !std::filesystem::exists(about)) return found;
  const io::Json said = io::read_json_file(about);
  const auto size = said.is_object() ? said.find("model_parallel_size") : said.end();
  if (size != said.end() && size->is_number_integer() && size->get<int64_t>() != std::ssize(found))
    throw FormatError({.file = about.string(), .field = "model_parallel_size"}, fmt::format("{} files consolidated.NN.pth", size->get<int64_t>()),
                      fmt::format("{}, up to {}", found.size(), found.back().filename().string()));
  return found;
}

TensorFile load_weights(const std::filesystem::path& path) {
  const auto file = find_weights(path);
  if (file.extension() != ".json") return load_tensors(file);
  return file.string().ends_with(".bin.index.json") ? load_torch_shards(file) : load_safetensors_shards(file);
}

void save_tensors(const std::filesystem::path& path, const TensorMap& tensors, const Metadata& metadata) {
  std::vector<at::Tensor> alive;  // the spans below point into these
  std::vector<io::TensorToWrite> entries;
  for (const auto& [name, tensor] : tensors) {
    alive.push_back(tensor.detach().to(at::kCPU).contiguous());
    const auto* data = static_cast<const std::byte*>(alive.back().const_data_ptr());
    entries.push_back(
        {.name = name, .dtype = file_dtype(tensor.scalar_type(), name), .shape = tensor.sizes().vec(), .bytes = {data, tensor.nbytes()}});
  }
  io::write_safetensors(path, std::move(entries), metadata);
}

}  // namespace everlong::checkpoint
