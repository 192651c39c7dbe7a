#pragma once
// Files of torch.save: read without running anything, and written so that torch.load(weights_only=True) reads them.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/io/mapped_file.h"
#include "everlong/io/torch_value.h"

namespace everlong::io {

/// A run of numbers that tensors are views of.
struct TorchStorage {
  std::string key;
  int64_t offset = 0;  ///< of the first byte, from the start of the file
  int64_t size_bytes = 0;
  uint32_t crc32 = 0;  ///< 0 where the file has none
  std::string device;  ///< where it was when it was saved; told, not used
};

struct TorchContents {
  TorchValue value;
  std::vector<TorchStorage> storages;  ///< those that the value names
};

/// True if the bytes begin as files of torch.save do: a zip archive, or a pickle (before PyTorch 1.6).
[[nodiscard]] bool looks_like_torch_file(std::span<const std::byte> file);

/// Reads the values of a whole file in memory, in the zip form or the form before PyTorch 1.6; `file_name` is for messages.
/// Cost     the pickle is read and its checksum compared; the data of tensors are not touched
/// Errors   FormatError as unpickle and parse_zip, or if a storage is missing or has another size than the pickle says; Unsupported for TorchScript
///          archives, big-endian and compressed files and the tar form of PyTorch 0.1
[[nodiscard]] TorchContents parse_torch_file(std::span<const std::byte> file, std::string_view file_name);

/// A file of torch.save mapped into memory.
class TorchFile {
 public:
  /// Errors   IoError; as parse_torch_file
  [[nodiscard]] static TorchFile open(const std::filesystem::path& path);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] const TorchValue& value() const { return contents_.value; }
  [[nodiscard]] const std::vector<TorchStorage>& storages() const { return contents_.storages; }

  /// The data of a storage, valid as long as this object lives. Not aligned: copy it out, do not cast it.
  [[nodiscard]] std::span<const std::byte> bytes(const TorchStorage& storage) const;

  /// The same, once the checksum of the archive has been compared. Cost  reads all of it
  /// Errors   FormatError if the data are not those that were written
  [[nodiscard]] std::span<const std::byte> checked_bytes(const TorchStorage& storage) const;

 private:
  TorchFile() = default;

  std::filesystem::path path_;
  MappedFile file_;
  TorchContents contents_;
};

/// Numbers to write, as bytes; tensors of the value name it by its place in the list.
struct TorchStorageToWrite {
  Dtype dtype = Dtype::F32;
  std::span<const std::byte> bytes;
};

/// Writes a value with its storages atomically, in the zip form (protocol 2). The bytes depend on nothing but the arguments.
/// Errors   InvalidArgument if a tensor reaches outside its storage or has another dtype, text is not UTF-8, or values are nested deeper than
///          kMaxPickleDepth; IoError
void write_torch_file(const std::filesystem::path& path, const TorchValue& value, const std::vector<TorchStorageToWrite>& storages);

}  // namespace everlong::io
