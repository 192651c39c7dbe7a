#include "everlong/data/packed_summary.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/data/megatron_index.h"
#include "everlong/io/mapped_file.h"

namespace everlong::data {
namespace {

namespace fs = std::filesystem;

fs::path with_ending(fs::path prefix, std::string_view ending) { return prefix += ending; }

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

int64_t size_of(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error) throw IoError("open", path.string(), error.value());
  return static_cast<int64_t>(size);
}

void read_megatron(PackedSummary& summary) {
  const fs::path path = with_ending(summary.prefix, ".idx");
  const MegatronIndex index = parse_megatron_index(io::MappedFile(path).bytes(), path.string());
  summary.type = index.type;
  summary.num_tokens = index.num_tokens();
  summary.num_documents = std::ssize(index.document_lens);
  if (!index.document_lens.empty()) summary.longest_document = *std::max_element(index.document_lens.begin(), index.document_lens.end());
  const int64_t expected = summary.num_tokens * bytes_per_token(index.type);
  if (summary.token_bytes != expected)
    throw FormatError({with_ending(summary.prefix, ".bin").string(), summary.token_bytes, "size"},
                      fmt::format("{} bytes, as {} says", expected, path.filename().string()), fmt::format("{}", summary.token_bytes),
                      "the files of this name do not belong together, or one was cut off");
}

void read_nanogpt(PackedSummary& summary) {
  summary.kind = PackedKind::nanogpt;
  if (summary.token_bytes % bytes_per_token(TokenType::u16) != 0)
    throw FormatError({with_ending(summary.prefix, ".bin").string(), summary.token_bytes, "size"},
                      "an even number of bytes (nanoGPT's uint16 tokens)", fmt::format("{}", summary.token_bytes),
                      "a Megatron dataset needs its .idx file beside it");
  summary.num_tokens = summary.longest_document = summary.token_bytes / bytes_per_token(TokenType::u16);
  summary.num_documents = 1;
}

}  // namespace

std::optional<double> PackedSummary::bytes_per_token() const {
  if (!text_bytes || num_tokens == 0) return std::nullopt;
  return static_cast<double>(*text_bytes) / static_cast<double>(num_tokens);
}

std::string_view token_type_name(TokenType type) {
  switch (type) {
    case TokenType::u8:
      return "uint8";
    case TokenType::i8:
      return "int8";
    case TokenType::i16:
      return "int16";
    case TokenType::i32:
      return "int32";
    case TokenType::i64:
      return "int64";
    case TokenType::u16:
      return "uint16";
  }
  return "";
}

std::optional<fs::path> packed_prefix(const fs::path& path) {
  const bool named = path.extension() == ".bin" || path.extension() == ".idx";
  if (named && is_file(path)) return fs::path(path).replace_extension();
  if (is_file(with_ending(path, ".bin"))) return path;
  return std::nullopt;
}

PackedSummary summarize_packed(const fs::path& path) {
  const auto prefix = packed_prefix(path);
  if (!prefix) throw IoError("open", path.string(), ENOENT, "expected PREFIX.bin with or without PREFIX.idx, or their PREFIX");
  PackedSummary summary{.prefix = *prefix, .token_bytes = size_of(with_ending(*prefix, ".bin"))};
  if (is_file(with_ending(*prefix, ".idx"))) {
    read_megatron(summary);
  } else {
    read_nanogpt(summary);
  }
  summary.info = read_packed_file_info(with_ending(*prefix, ".json"), summary.num_documents);
  if (summary.info) {
    summary.text_bytes = 0;
    for (const int64_t bytes : summary.info->document_bytes) *summary.text_bytes += bytes;
  }
  return summary;
}

}  // namespace everlong::data
