#pragma once
// Checkpoints in one file: a state dict with the settings of its training beside it, as fairseq and megalodon-jax write them.

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/base/config.h"
#include "everlong/checkpoint/tensor_file.h"

namespace everlong::checkpoint {

/// Settings by their names: plain values only.
using Settings = std::map<std::string, ConfigValue, std::less<>>;

struct TrainingFile {
  TensorMap tensors;
  Settings settings;       ///< of "args", else of "cfg.model", or of the metadata's "config_json"; empty where the file has none
  Metadata metadata = {};  ///< of a safetensors file
  std::filesystem::path path = {};
};

/// True for a file, not a folder, that begins as those of torch.save do, or that is named .safetensors.
[[nodiscard]] bool is_training_file(const std::filesystem::path& path);

/// Reads the tensors and the settings of a file of torch.save or of safetensors. Settings that are no plain values are left out.
/// Errors   as load_tensors
[[nodiscard]] TrainingFile read_training_file(const std::filesystem::path& path);

/// Writes {"model": tensors, "args": settings} atomically, for torch.load(weights_only=True) and fairseq.
/// Errors   as save_torch_tensors
void write_training_file(const std::filesystem::path& path, const TensorMap& tensors, const Settings& settings);

/// The settings as one JSON object without spaces, keys sorted and numbers spelt as Python's json.dumps does: what others take digests of.
[[nodiscard]] std::string settings_text(const Settings& settings);

}  // namespace everlong::checkpoint
