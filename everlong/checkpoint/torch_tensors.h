#pragma once
// State dicts in files of torch.save, as torch tensors.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/checkpoint/tensor_file.h"
#include "everlong/io/torch_file.h"

namespace everlong::checkpoint {

/// The state dict of a PyTorch file, before its tensors are read.
struct StateDict {
  const io::TorchDict* tensors = nullptr;  ///< part of the file's value
  std::string key;                         ///< "model", "state_dict", or empty where the tensors lie at the top
};

/// Finds the dictionary that holds the tensors: under "model" (fairseq), under "state_dict" (Lightning), or at the top.
/// Errors   FormatError if none of them holds a tensor under a text key
[[nodiscard]] StateDict find_state_dict(const io::TorchFile& file);

/// Reads the tensors of the state dict; whatever else is in it is named in `skipped`. Tied tensors share memory, as in PyTorch.
/// Errors   FormatError if data do not have their checksum; Unsupported for a dtype that is not computed with (F8)
[[nodiscard]] TensorFile read_state_dict(const io::TorchFile& file);

/// What a PyTorch file holds beside its tensors.
struct TorchFileOptions {
  std::string key = {};       ///< puts the tensors under this key of the top dictionary; empty: at the top
  io::TorchDict beside = {};  ///< plain values of the top dictionary; without tensors
};

/// Writes tensors atomically so that torch.load(weights_only=True) reads them. Tensors that share all of their memory are written once.
/// Errors   IoError; InvalidArgument for a dtype that has no name on disk, or a key that comes twice
void save_torch_tensors(const std::filesystem::path& path, const TensorMap& tensors, const TorchFileOptions& options = {});

}  // namespace everlong::checkpoint
