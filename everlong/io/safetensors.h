#pragma once
// Named tensors in a file: the safetensors format, read without trust and written atomically.
// Layout: u64 length of the header (little endian), header (JSON), data. Numbers are little endian.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "everlong/io/dtype.h"
#include "everlong/io/mapped_file.h"

namespace everlong::io {

inline constexpr int64_t kMaxSafetensorsHeaderBytes = 100'000'000;
inline constexpr size_t kMaxTensorRank = 64;

struct TensorEntry {
  std::string name;
  Dtype dtype = Dtype::F32;
  std::vector<int64_t> shape;
  int64_t offset = 0;  ///< of the first byte, from the start of the file
  int64_t size_bytes = 0;
};

/// What the header of a safetensors file says, checked against the length of the file.
struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  ///< in the order of their data
  std::map<std::string, std::string> metadata;
  std::unordered_map<std::string, size_t> index;  ///< name to place in `tensors`

  [[nodiscard]] const TensorEntry* find(const std::string& name) const;
};

/// Reads the header of a whole safetensors file in memory; `file_name` is for messages.
/// Errors   FormatError naming file, byte offset and tensor, unless tensors and header fill the file without overlap or hole, with every size equal
/// to
///          that of dtype and shape, every name once, and metadata text to text. Key order and spaces around the header are free
[[nodiscard]] SafetensorsHeader parse_safetensors(std::span<const std::byte> file, std::string_view file_name);

/// A safetensors file mapped into memory.
class SafetensorsFile {
 public:
  /// Cost     reads the header only
  /// Errors   IoError; FormatError as parse_safetensors
  [[nodiscard]] static SafetensorsFile open(const std::filesystem::path& path);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] const std::vector<TensorEntry>& tensors() const { return header_.tensors; }
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  [[nodiscard]] const TensorEntry* find(const std::string& name) const { return header_.find(name); }

  /// The data of one tensor, valid as long as this object lives. Not aligned: copy it out, do not cast it.
  /// Errors   FormatError if there is no tensor of that name
  [[nodiscard]] std::span<const std::byte> bytes(const std::string& name) const;
  [[nodiscard]] std::span<const std::byte> bytes(const TensorEntry& tensor) const;

 private:
  SafetensorsFile() = default;

  std::filesystem::path path_;
  MappedFile file_;
  SafetensorsHeader header_;
};

/// Takes bytes for the file being written.
using ByteSink = std::function<void(std::span<const std::byte>)>;

/// One tensor to write: its data as a span, or produced when its turn comes.
struct TensorToWrite {
  std::string name;
  Dtype dtype = Dtype::F32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes = {};
  std::function<void(const ByteSink&)> produce = {};  ///< if set, used instead of `bytes`; must send exactly the tensor's bytes
};

/// Writes a safetensors file atomically, header padded with spaces so that the data starts at a multiple of 8.
/// Order of the data: element size descending, then name; so every tensor is aligned to its element size.
/// Errors   InvalidArgument if a name is used twice, is "__metadata__" or is not UTF-8, or the data does not have the size of dtype and shape;
/// IoError
void write_safetensors(const std::filesystem::path& path, std::vector<TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace everlong::io
