#pragma once
// Checkpoints of fairseq's kind: a state dict with the settings of its training beside it.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "everlong/base/config.h"
#include "everlong/checkpoint/tensor_file.h"

namespace everlong::checkpoint {

/// Settings by their names: plain values only.
using Settings = std::map<std::string, ConfigValue, std::less<>>;

struct TrainingFile {
  TensorMap tensors;
  Settings settings;  ///< of "args", else of "cfg.model"; empty where the file has neither
  std::filesystem::path path = {};
};

/// True for a file, not a folder, that begins as those of torch.save do.
[[nodiscard]] bool is_training_file(const std::filesystem::path& path);

/// Reads the state dict and the settings of a file of torch.save. Settings that are no plain values are left out.
/// Errors   as load_tensors
[[nodiscard]] TrainingFile read_training_file(const std::filesystem::path& path);

/// Writes {"model": tensors, "args": settings} atomically, for torch.load(weights_only=True) and fairseq.
/// Errors   as save_torch_tensors
void write_training_file(const std::filesystem::path& path, const TensorMap& tensors, const Settings& settings);

}  // namespace everlong::checkpoint
