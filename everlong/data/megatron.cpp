#include "everlong/data/megatron.h"

#include <cstring>
#include <limits>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/data/text_documents.h"
#include "everlong/io/mapped_file.h"
#include "everlong/text/tokenizer.h"

namespace everlong::data {
namespace {

std::filesystem::path with_ending(std::filesystem::path prefix, std::string_view ending) { return prefix += ending; }

template <class T>
void append_as(std::vector<std::byte>& bytes, std::span<const int32_t> tokens) {
  const size_t begin = bytes.size();
  bytes.resize(begin + tokens.size() * sizeof(T));
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto token = static_cast<T>(tokens[i]);
    std::memcpy(bytes.data() + begin + i * sizeof(T), &token, sizeof(T));
  }
}

/// nanoGPT's files have one type, whatever the vocabulary.
TokenType type_for(PackedWriter::Format format, int64_t vocab_size) {
  if (format == PackedWriter::Format::megatron) return token_type_for(vocab_size);
  require(vocab_size <= 65536, [&] {
    return Complaint{.where = "pack",
                     .expected = "at most 65536 tokens in the vocabulary of a nanoGPT file",
                     .got = fmt::format("{}", vocab_size),
                     .hint = "write a Megatron file"};
  });
  return TokenType::u16;
}

TokenPiece map_tokens(const std::filesystem::path& path, TokenType type) {
  auto file = std::make_shared<io::MappedFile>(path);
  const std::span<const std::byte> bytes = file->bytes();
  return {.name = path.string(), .type = type, .bytes = bytes, .owner = std::move(file)};
}

}  // namespace

PackedFile open_megatron(const std::filesystem::path& prefix) {
  const std::filesystem::path index_path = with_ending(prefix, ".idx");
  MegatronIndex index = parse_megatron_index(io::MappedFile(index_path).bytes(), index_path.string());
  PackedFile packed{.tokens = map_tokens(with_ending(prefix, ".bin"), index.type), .document_lens = {}, .info = {}};
  const int64_t size = std::ssize(packed.tokens.bytes), expected = index.num_tokens() * bytes_per_token(index.type);
  if (size != expected) {
    throw FormatError({packed.tokens.name, size, "size"}, fmt::format("{} bytes, as {} says", expected, index_path.filename().string()),
                      fmt::format("{}", size), "the files of this name do not belong together, or one was cut off");
  }
  packed.info = read_packed_file_info(with_ending(prefix, ".json"), std::ssize(index.document_lens));
  packed.document_lens = std::move(index.document_lens);
  return packed;
}

PackedFile open_nanogpt(const std::filesystem::path& prefix) {
  PackedFile packed{.tokens = map_tokens(with_ending(prefix, ".bin"), TokenType::u16), .document_lens = {}, .info = {}};
  const int64_t size = std::ssize(packed.tokens.bytes);
  if (size % bytes_per_token(TokenType::u16) != 0) {
    throw FormatError({packed.tokens.name, size, "size"}, "an even number of bytes (nanoGPT's uint16 tokens)", fmt::format("{}", size),
                      "a Megatron dataset needs its .idx file beside it");
  }
  packed.document_lens = {packed.tokens.num_tokens()};
  packed.info = read_packed_file_info(with_ending(prefix, ".json"), 1);
  return packed;
}

PackedWriter::PackedWriter(std::filesystem::path prefix, Format format, int64_t vocab_size, std::string tokenizer_fingerprint)
    : prefix_(std::move(prefix)),
      format_(format),
      info_{.tokenizer = std::move(tokenizer_fingerprint), .vocab_size = vocab_size, .sources = {}, .document_bytes = {}},
      index_{.type = type_for(format, vocab_size), .document_lens = {}},
      tokens_(with_ending(prefix_, ".bin")) {}

void PackedWriter::add_document(std::span<const int32_t> tokens, int64_t size_bytes) {
  for (const int32_t token : tokens) {
    require(token >= 0 && token < info_.vocab_size, [&] {
      return Complaint{.where = "pack", .expected = fmt::format("token ids in [0, {})", info_.vocab_size), .got = fmt::format("{}", token)};
    });
  }
  if (tokens.empty()) return;
  buffer_.clear();
  index_.type == TokenType::u16 ? append_as<uint16_t>(buffer_, tokens) : append_as<int32_t>(buffer_, tokens);
  tokens_.write(buffer_);
  num_tokens_ += std::ssize(tokens);
  index_.document_lens.push_back(std::ssize(tokens));
  info_.document_bytes.push_back(size_bytes);
}

void PackedWriter::commit(std::vector<std::string> sources) {
  info_.sources = std::move(sources);
  if (format_ == Format::nanogpt) {
    int64_t sum = 0;
    for (const int64_t bytes : info_.document_bytes) sum += bytes;
    info_.document_bytes = {sum};
  }
  tokens_.commit();
  write_packed_file_info(with_ending(prefix_, ".json"), info_);
  const std::filesystem::path index_path = with_ending(prefix_, ".idx");
  if (format_ == Format::megatron) {
    io::AtomicFile index(index_path);
    index.write(write_megatron_index(index_));
    index.commit();
  } else {
    std::error_code ignored;  // an index left there would describe other tokens
    std::filesystem::remove(index_path, ignored);
  }
}

PackProgress pack(std::span<const std::filesystem::path> files, const text::Tokenizer& tokenizer, const std::filesystem::path& prefix,
                  const PackOptions& options) {
  const int64_t vocab_size = tokenizer.vocab_size();
  require(!options.eos_id || (*options.eos_id >= 0 && *options.eos_id < vocab_size), [&] {
    return Complaint{.where = "pack", .expected = fmt::format("an end token in [0, {})", vocab_size), .got = fmt::format("{}", *options.eos_id)};
  });
  std::vector<std::string> sources;
  for (const auto& file : files) {
    require(text_file_kind(file).has_value(), [&] { return not_a_text_file(file); });
    sources.push_back(file.filename().string());
  }
  PackedWriter writer(prefix, options.format, vocab_size, tokenizer.fingerprint());
  PackProgress progress;
  std::vector<int32_t> tokens;
  for (const auto& file : files) {
    progress.file = file.string();
    for_each_document(file, options.read, [&](std::string_view text) {
      tokens.clear();
      tokenizer.encode_into(text, tokens, encode_options(options.read));
      if (options.eos_id && !tokens.empty()) tokens.push_back(*options.eos_id);
      writer.add_document(tokens, std::ssize(text));
      progress.documents = writer.num_documents();
      progress.tokens = writer.num_tokens();
      progress.text_bytes += std::ssize(text);
      if (options.progress) options.progress(progress);
    });
  }
  writer.commit(std::move(sources));
  return progress;
}

}  // namespace everlong::data
