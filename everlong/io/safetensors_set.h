#pragma once
// The tensors of one model, in one safetensors file or in shards beside an index.

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "everlong/io/safetensors.h"

namespace everlong::io {

/// Safetensors files that together name every tensor once.
class SafetensorsSet {
 public:
  /// Opens a .safetensors file, an index (*.index.json), or a folder that holds model.safetensors or model.safetensors.index.json.
  /// Cost     reads the headers only
  /// Errors   IoError if nothing is there; FormatError as parse_safetensors, or if the index names a file outside its folder or one that is missing,
  /// or a
  ///          tensor that its shard lacks, or if a shard holds a tensor that the index puts elsewhere or does not name
  [[nodiscard]] static SafetensorsSet open(const std::filesystem::path& path);

  /// Where a tensor lies.
  struct Place {
    const SafetensorsFile* file = nullptr;
    const TensorEntry* tensor = nullptr;
  };

  /// All names, sorted. The places are valid as long as this object lives, also after a move.
  [[nodiscard]] const std::map<std::string, Place>& tensors() const { return tensors_; }
  [[nodiscard]] const std::vector<SafetensorsFile>& files() const { return files_; }
  /// The file or folder that was opened, for messages.
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  /// Null if there is no such tensor.
  [[nodiscard]] const TensorEntry* find(const std::string& name) const;

  /// The data of one tensor, valid as long as this object lives. Not aligned.
  /// Errors   FormatError if there is no tensor of that name
  [[nodiscard]] std::span<const std::byte> bytes(const std::string& name) const;

 private:
  SafetensorsSet() = default;

  std::filesystem::path path_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, Place> tensors_;
};

}  // namespace everlong::io
