#pragma once
// Zip archives whose entries are stored, not compressed: read without trust from memory, written atomically. Zip64 where sizes ask for it.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/io/atomic_file.h"

namespace everlong::io {

struct ZipEntry {
  std::string name;
  int64_t offset = 0;  ///< of the first byte of the data, from the start of the file
  int64_t size_bytes = 0;
  uint32_t crc32 = 0;  ///< 0 where the writer left it out
};

/// True if the bytes begin as a zip archive with entries does.
[[nodiscard]] bool looks_like_zip(std::span<const std::byte> file);

/// Reads the directory of an archive; `file_name` is for messages.
/// Errors   FormatError naming file, offset and entry if records lie outside the file, entries overlap, a name comes twice or the two headers of an
///          entry differ; Unsupported for compressed or encrypted entries and archives in several parts
[[nodiscard]] std::vector<ZipEntry> parse_zip(std::span<const std::byte> file, std::string_view file_name);

/// CRC-32 as zip archives have it.
[[nodiscard]] uint32_t crc32_of(std::span<const std::byte> bytes);

/// The data of an entry, once its checksum has been found right.
/// Errors   FormatError if it is not; a checksum of 0 is one that the writer left out
[[nodiscard]] std::span<const std::byte> checked_bytes(std::span<const std::byte> file, const ZipEntry& entry, std::string_view file_name);

/// Writes an archive of stored entries whose data begin at multiples of 64 bytes.
class ZipWriter {
 public:
  /// Errors   IoError if the folder is missing or not writable
  explicit ZipWriter(const std::filesystem::path& path) : file_(path) {}

  /// Adds an entry. Errors  InvalidArgument for a name of more than 65,000 bytes; IoError
  void add(const std::string& name, std::span<const std::byte> bytes);
  void add(const std::string& name, std::string_view text);

  /// Writes the directory and puts the file under its name. Errors  IoError
  void commit();

 private:
  struct Written {
    ZipEntry entry;
    int64_t header_offset = 0;
  };

  AtomicFile file_;
  std::vector<Written> entries_;
};

}  // namespace everlong::io
