#pragma once
// Bytes that come one after the other: from a plain file, or decompressed while they are read.

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

namespace everlong::io {

/// A stream of bytes, read once from front to end.
class ByteSource {
 public:
  ByteSource() = default;
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;
  virtual ~ByteSource() = default;

  /// Fills some of `buffer`, which must not be empty; returns how much, 0 at the end.
  /// Errors   IoError; FormatError if compressed data is corrupt or ends too early
  [[nodiscard]] virtual size_t read(std::span<char> buffer) = 0;
};

/// Opens a file: decompressed by zlib if its name ends in .gz, by zstd if in .zst (several members or frames are one stream), else as it is.
/// Cost     memory bounded: 64 KiB and the decompressor's window (at most 128 MiB)
/// Errors   IoError if it cannot be opened
[[nodiscard]] std::unique_ptr<ByteSource> open_bytes(const std::filesystem::path& path);

/// Reads from memory, which must outlive the source.
[[nodiscard]] std::unique_ptr<ByteSource> bytes_in_memory(std::string_view text);

}  // namespace everlong::io
