#pragma once
// Named tensors on disk, as torch tensors: safetensors and PyTorch files, single or in shards.

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace everlong::checkpoint {

using TensorMap = std::map<std::string, at::Tensor>;
using Metadata = std::map<std::string, std::string>;

struct TensorFile {
  TensorMap tensors;                      ///< on the CPU, in the dtype of the file
  Metadata metadata;                      ///< of a single safetensors file
  std::filesystem::path path = {};        ///< the file or index that was read, for messages
  std::vector<std::string> skipped = {};  ///< entries of a PyTorch state dict that are no tensors
};

/// Reads every tensor of a safetensors file, or of the state dict of a PyTorch file (.bin, .pt, .pth; see read_state_dict).
/// What the file is, its content says, unless its name ends in .safetensors.
/// Errors   IoError; FormatError naming file, offset and tensor; Unsupported for a dtype that is not computed with (F8)
[[nodiscard]] TensorFile load_tensors(const std::filesystem::path& path);

/// Where the weights of a model directory are: the first that is there of model.safetensors, model.safetensors.index.json, pytorch_model.bin,
/// pytorch_model.bin.index.json and consolidated.pth, else model.safetensors. A path that is no folder stands for itself.
[[nodiscard]] std::filesystem::path find_weights(const std::filesystem::path& folder);

/// The parts of a model that was split over devices, in the order of their ranks: consolidated.00.pth, consolidated.01.pth and so on. Empty = none.
/// Errors   FormatError if consolidate_config.json beside them says that there are more or fewer
[[nodiscard]] std::vector<std::filesystem::path> find_model_shards(const std::filesystem::path& folder);

/// Reads the weights of a model directory, or of a file or index of weights.
/// Errors   as load_tensors; IoError if nothing is there; FormatError if an index and its shards disagree
[[nodiscard]] TensorFile load_weights(const std::filesystem::path& path);

/// Writes a safetensors file atomically. Shapes and dtypes as they are; a tensor on another device is copied.
/// Errors   IoError; InvalidArgument for a dtype that safetensors has no name for
void save_tensors(const std::filesystem::path& path, const TensorMap& tensors, const Metadata& metadata = {});

enum class WeightFormat { safetensors, torch };

struct SaveOptions {
  WeightFormat format = WeightFormat::safetensors;  ///< torch: pytorch_model.bin
  int64_t max_shard_bytes = 0;                      ///< of data in one file; 0 = no limit
  Metadata metadata = {};                           ///< of safetensors files
};

/// Writes the weights of a model directory: model.safetensors or pytorch_model.bin, or, where they have more than `max_shard_bytes`, shards of at
/// most that many bytes of data (a larger tensor is alone in one), then an index. Weights in another form that the folder had are then removed.
/// Returns the names of the files, the index last.
/// Errors   as save_tensors and save_torch_tensors; InvalidArgument if `max_shard_bytes` < 0
std::vector<std::string> save_weights(const std::filesystem::path& folder, const TensorMap& tensors, const SaveOptions& options = {});

}  // namespace everlong::checkpoint
