#pragma once
// What is known about packed tokens beyond the tokens: PREFIX.json beside PREFIX.bin.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace everlong::data {

struct PackedFileInfo {
  std::string tokenizer;  ///< fingerprint
  int64_t vocab_size = 0;
  std::vector<std::string> sources;     ///< the files that were packed, by name
  std::vector<int64_t> document_bytes;  ///< UTF-8 bytes of each document
};

/// Writes it atomically. Errors  IoError
void write_packed_file_info(const std::filesystem::path& path, const PackedFileInfo& info);

/// Reads it, if the file is there.
/// Errors   FormatError naming the key if it is no such file, or does not describe `num_documents` documents; IoError
[[nodiscard]] std::optional<PackedFileInfo> read_packed_file_info(const std::filesystem::path& path, int64_t num_documents);

}  // namespace everlong::data
