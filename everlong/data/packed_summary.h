#pragma once
// What a packed corpus holds, from its index and description: no token is read, no torch is needed.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "everlong/data/packed_file.h"
#include "everlong/data/token_type.h"

namespace everlong::data {

enum class PackedKind { megatron, nanogpt };

struct PackedSummary {
  std::filesystem::path prefix;
  PackedKind kind = PackedKind::megatron;
  TokenType type = TokenType::u16;
  int64_t num_tokens = 0;
  int64_t num_documents = 0;
  int64_t longest_document = 0;  ///< in tokens
  int64_t token_bytes = 0;       ///< size of PREFIX.bin
  std::optional<PackedFileInfo> info;
  std::optional<int64_t> text_bytes;  ///< UTF-8 bytes that were encoded, where PREFIX.json says so

  /// Bytes of text a token, where both are known.
  [[nodiscard]] std::optional<double> bytes_per_token() const;
};

/// "uint16", "int32": the names of Megatron's dtypes.
[[nodiscard]] std::string_view token_type_name(TokenType type);

/// The prefix, if `path` is PREFIX.bin, PREFIX.idx or PREFIX of files that may be a packed corpus, by their names alone.
[[nodiscard]] std::optional<std::filesystem::path> packed_prefix(const std::filesystem::path& path);

/// Reads PREFIX.idx and PREFIX.json; without an index PREFIX.bin is nanoGPT's.
/// Cost     memory of the order of the index
/// Errors   IoError if nothing is there; as parse_megatron_index and read_packed_file_info; FormatError if PREFIX.bin has another size than the index
///          says, or an odd one without an index
[[nodiscard]] PackedSummary summarize_packed(const std::filesystem::path& path);

}  // namespace everlong::data
