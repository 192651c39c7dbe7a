// Corpus::read: files of any kind to one corpus.

#include <cstring>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/base/log.h"
#include "everlong/data/corpus.h"
#include "everlong/data/megatron.h"
#include "everlong/data/text_documents.h"
#include "everlong/text/tokenizer.h"

namespace everlong::data {
namespace {

/// Documents that are encoded into memory, until they become a piece of the corpus.
class EncodedDocuments {
 public:
  EncodedDocuments(const text::Tokenizer& tokenizer, const ReadOptions& options)
      : tokenizer_(tokenizer), options_(encode_options(options)), type_(token_type_for(tokenizer.vocab_size())) {}

  void add(std::string_view text) {
    tokens_.clear();
    tokenizer_.encode_into(text, tokens_, options_);
    const auto width = static_cast<size_t>(bytes_per_token(type_));
    const size_t begin = bytes_->size();
    bytes_->resize(begin + tokens_.size() * width);
    for (size_t i = 0; i < tokens_.size(); ++i) std::memcpy(bytes_->data() + begin + i * width, &tokens_[i], width);  // little-endian: low bytes
    lens_.push_back(std::ssize(tokens_));
    document_bytes_.push_back(std::ssize(text));
  }

  void move_to(Corpus& corpus) {
    if (lens_.empty()) return;
    const std::span<const std::byte> bytes = *bytes_;
    corpus.append({.name = "corpus", .type = type_, .bytes = bytes, .vocab_size = tokenizer_.vocab_size(), .owner = std::move(bytes_)}, lens_,
                  document_bytes_);
    bytes_ = std::make_shared<std::vector<std::byte>>();
    lens_.clear();
    document_bytes_.clear();
  }

 private:
  const text::Tokenizer& tokenizer_;
  text::EncodeOptions options_;
  TokenType type_;
  std::shared_ptr<std::vector<std::byte>> bytes_ = std::make_shared<std::vector<std::byte>>();
  std::vector<int64_t> lens_, document_bytes_;
  std::vector<int32_t> tokens_;
};

PackedFile open_packed(const std::filesystem::path& path) {
  std::filesystem::path prefix = path;
  prefix.replace_extension();
  std::filesystem::path index = prefix;
  index += ".idx";
  std::error_code ignored;
  const bool is_megatron = path.extension() == ".idx" || std::filesystem::exists(index, ignored);
  return is_megatron ? open_megatron(prefix) : open_nanogpt(prefix);
}

void append_packed(Corpus& corpus, const std::filesystem::path& path, const text::Tokenizer& tokenizer) {
  PackedFile packed = open_packed(path);
  std::error_code ignored;
  if (!packed.info && std::filesystem::exists(path.parent_path() / "meta.pkl", ignored)) {
    log_warning(fmt::format("{}: meta.pkl beside it names another vocabulary; ids are only checked against the size of this tokenizer's",
                            packed.tokens.name));
  }
  require(!packed.info || packed.info->tokenizer == tokenizer.fingerprint(), [&] {
    return Complaint{.where = packed.tokens.name,
                     .expected = fmt::format("tokens of the tokenizer {}", tokenizer.fingerprint()),
                     .got = packed.info->tokenizer,
                     .hint = "pack the text again with this tokenizer"};
  });
  packed.tokens.vocab_size = tokenizer.vocab_size();
  const std::vector<int64_t> document_bytes = packed.info ? std::move(packed.info->document_bytes) : std::vector<int64_t>{};
  corpus.append(std::move(packed.tokens), packed.document_lens, document_bytes);
}

}  // namespace

Corpus Corpus::read(std::span<const std::filesystem::path> files, const text::Tokenizer& tokenizer, const ReadOptions& options) {
  Corpus corpus;
  EncodedDocuments encoded(tokenizer, options);
  for (const auto& file : files) {
    if (file.extension() == ".bin" || file.extension() == ".idx") {
      encoded.move_to(corpus);
      append_packed(corpus, file, tokenizer);
      continue;
    }
    require(text_file_kind(file).has_value(), [&] {
      return Complaint{.where = "data",
                       .expected = "a corpus: .txt or .jsonl, also with .gz or .zst after it, or packed tokens: .bin, .idx",
                       .got = file.string()};
    });
    for_each_document(file, options, [&](std::string_view text) { encoded.add(text); });
  }
  encoded.move_to(corpus);
  return corpus;
}

}  // namespace everlong::data
