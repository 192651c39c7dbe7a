#pragma once
// Named tensors on disk: safetensors files, single or in shards, as torch tensors.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace everlong::checkpoint {

using TensorMap = std::map<std::string, at::Tensor>;
using Metadata = std::map<std::string, std::string>;

struct TensorFile {
  TensorMap tensors;   ///< on the CPU, in the dtype of the file
  Metadata metadata;
};

/// Reads every tensor of a safetensors file.
/// Errors   IoError; FormatError naming file, offset and tensor; Unsupported for a dtype that is not computed with (F8)
[[nodiscard]] TensorFile load_tensors(const std::filesystem::path& path);

/// Reads the weights of a model directory: model.safetensors, or the shards that model.safetensors.index.json names.
/// Errors   as load_tensors; IoError if neither is there
[[nodiscard]] TensorFile load_weights(const std::filesystem::path& folder);

/// Writes tensors atomically. Shapes and dtypes as they are; a tensor on another device is copied.
/// Errors   IoError; InvalidArgument for a dtype that safetensors has no name for
void save_tensors(const std::filesystem::path& path, const TensorMap& tensors, const Metadata& metadata = {});

}  // namespace everlong::checkpoint
