#pragma once
// The tokens of many documents, in memory or mapped from files, as one long stream with marks where documents begin.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "everlong/data/token_type.h"

namespace everlong::text {
class Tokenizer;
}

namespace everlong::data {

struct ReadOptions {
  /// .txt: a line that is exactly this ends a document and belongs to none; absent = the file is one document.
  std::optional<std::string> document_separator = {};
  bool add_special = true;                        ///< add what the tokenizer's own template adds around a text (bos, eos); many add nothing
  bool parse_special = false;                     ///< text that spells a special token becomes that token
  int64_t max_document_bytes = int64_t{4} << 30;  ///< of a document's text; more is refused
};

/// Tokens that lie one after the other in one file or one buffer.
struct TokenPiece {
  std::string name;  ///< for messages: the file, or "corpus"
  TokenType type = TokenType::i32;
  std::span<const std::byte> bytes;       ///< little-endian, of any alignment
  std::span<const uint8_t> learned = {};  ///< of each token: 0 = read, but not to be predicted; empty = all are
  int64_t file_offset = 0;                ///< of bytes[0] in the file
  int64_t vocab_size = 0;                 ///< ids outside [0, vocab_size) are refused when they are read
  std::shared_ptr<const void> owner;      ///< keeps `bytes` and `learned` alive

  [[nodiscard]] int64_t num_tokens() const { return static_cast<int64_t>(bytes.size()) / bytes_per_token(type); }
};

/// Documents of tokens. Immutable once built; cheap to move. Reading is safe from several threads.
class Corpus {
 public:
  Corpus() = default;

  /// A corpus in memory. `document_bytes` is empty or has the UTF-8 length of each document.
  /// Errors   InvalidArgument if an id is outside [0, vocab_size) or the lengths disagree
  static Corpus from_documents(std::span<const std::vector<int32_t>> documents, int64_t vocab_size, std::span<const int64_t> document_bytes = {});

  /// Reads files in their order; a file's name says what it is (plain, or compressed as .gz or .zst where text is):
  ///   .txt      one document, or several between separator lines
  ///   .jsonl    one document a line, under "text" or "content"
  ///   .bin      with an .idx beside it (either may be named): Megatron's indexed dataset, mapped; else nanoGPT's uint16 tokens, one document, mapped
  /// Empty documents are kept. Line ends between the lines of a separated document are line feeds; the one before a separator belongs to it.
  /// Errors   IoError if a file is missing; InvalidArgument if its name ends in something else, or if packed tokens come from another tokenizer;
  ///          FormatError if a file contradicts its format or a document is larger than the limit
  static Corpus read(std::span<const std::filesystem::path> files, const text::Tokenizer& tokenizer, const ReadOptions& options = {});

  [[nodiscard]] int64_t num_tokens() const { return document_begin_.back(); }
  [[nodiscard]] int64_t num_documents() const { return static_cast<int64_t>(document_begin_.size()) - 1; }

  /// Place of a document's first token in the stream of all; for document = num_documents(): num_tokens().
  [[nodiscard]] int64_t document_begin(int64_t document) const { return document_begin_.at(static_cast<size_t>(document)); }
  [[nodiscard]] int64_t document_len(int64_t document) const { return document_begin(document + 1) - document_begin(document); }

  /// Bytes of UTF-8 that a document was encoded from, where that is known.
  [[nodiscard]] std::optional<int64_t> document_bytes(int64_t document) const;

  /// Sum over all documents, absent if one is not known.
  [[nodiscard]] std::optional<int64_t> total_bytes() const;

  /// Copies tokens begin, begin + 1, ... of the stream.
  /// Errors   InvalidArgument if they are not all there; FormatError naming the file and the byte if an id is outside the vocabulary
  void copy_tokens(int64_t begin, std::span<int64_t> tokens) const;

  /// Whether some tokens are read but not to be predicted.
  [[nodiscard]] bool has_unlearned() const { return has_unlearned_; }

  /// Says of tokens begin, begin + 1, ... which are to be predicted (1) and which are not (0). Errors  InvalidArgument if they are not all there
  void copy_learned(int64_t begin, std::span<uint8_t> learned) const;

  /// Appends documents that lie in `piece` one after the other; `lens` must sum to its tokens.
  /// `document_bytes` is empty or has as many entries, -1 where not known.
  /// Errors   InvalidArgument if the lengths disagree, also that of piece.learned
  void append(TokenPiece piece, std::span<const int64_t> lens, std::span<const int64_t> document_bytes = {});

 private:
  void check_range(int64_t begin, size_t count) const;
  [[nodiscard]] size_t piece_at(int64_t token) const;

  std::vector<TokenPiece> pieces_;             ///< none empty
  std::vector<int64_t> piece_begin_;           ///< of each piece in the stream
  std::vector<int64_t> document_begin_ = {0};  ///< one more than documents
  std::vector<int64_t> document_bytes_;        ///< -1: not known
  bool has_unlearned_ = false;
};

}  // namespace everlong::data
