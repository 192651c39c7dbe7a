#pragma once
// What every tokenizer offers: text to ids, ids to bytes, and a name for its content that travels with models and states.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace everlong::text {

/// Ids with a role; absent where the tokenizer has no such token.
struct SpecialIds {
  std::optional<int32_t> bos = {}, eos = {}, pad = {}, unk = {}, mask = {};

  friend bool operator==(const SpecialIds&, const SpecialIds&) = default;
};

struct EncodeOptions {
  bool add_special = true;    ///< add what the tokenizer's own template adds around a text (bos, eos); many add nothing
  bool parse_special = true;  ///< text that spells a special token becomes that token; false for text from strangers
};

/// How far a decoder has come in one text. A new object means: at the beginning.
struct DecodePosition {
  bool at_start = true;         ///< no token has produced text yet
  int64_t stripped_spaces = 0;  ///< leading spaces removed so far, for families that mark the start of words
};

/// A fixed map between bytes and token ids 0 .. vocab_size - 1. Immutable; all const members may be called from several threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Encodes a text, valid UTF-8 or not.
  /// Cost     O(n) for usual text, O(n log n) at worst
  /// Errors   InvalidArgument if one stretch of text without a pre-tokenizer boundary has 2^31 bytes or more
  [[nodiscard]] std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;

  /// Appends the encoding to `ids`, for callers that reuse memory.
  void encode_into(std::string_view text, std::vector<int32_t>& ids, const EncodeOptions& options = {}) const { append_encoding(text, options, ids); }

  /// The bytes that the ids stand for, special tokens left out. Bytes, not text: what a byte-level model emits need not be UTF-8 (see StreamDecoder).
  /// Errors   InvalidArgument if an id is outside the vocabulary
  [[nodiscard]] std::string decode(std::span<const int32_t> ids) const;

  /// Appends the bytes of one more token of a text; decode() is this over all ids.
  /// Errors   InvalidArgument if the id is outside the vocabulary
  virtual void decode_next(int32_t id, DecodePosition& position, std::string& bytes) const;

  /// One more than the largest id.
  [[nodiscard]] virtual int32_t vocab_size() const = 0;

  /// The bytes a token stands for inside a text; empty for special tokens and for ids that the vocabulary leaves out.
  /// Errors   InvalidArgument if the id is outside the vocabulary
  [[nodiscard]] virtual std::string_view token_bytes(int32_t id) const = 0;

  /// Id of the token that is spelled exactly so in the vocabulary, special or not.
  [[nodiscard]] virtual std::optional<int32_t> token_id(std::string_view spelling) const = 0;

  [[nodiscard]] virtual SpecialIds special_ids() const = 0;

  /// Family: "bytes", "bpe" or "sentencepiece".
  [[nodiscard]] virtual std::string_view kind() const = 0;

  /// Hash of everything that encoding and decoding depend on, as 32 hexadecimal digits: equal after save and load, on every machine.
  /// Cost     O(size of the vocabulary) at each call
  [[nodiscard]] virtual std::string fingerprint() const = 0;

  /// Writes the tokenizer's files into an existing folder, each one atomically, in the family's public form.
  /// Errors   IoError
  virtual void save(const std::filesystem::path& folder) const = 0;

 protected:
  virtual void append_encoding(std::string_view text, const EncodeOptions& options, std::vector<int32_t>& ids) const = 0;

  /// Errors   InvalidArgument unless 0 <= id < vocab_size()
  void check_id(int32_t id) const;
};

/// Loads the tokenizer that `path` holds: a file of one of these forms, or a folder with exactly one of them.
///   everlong_tokenizer.json            bytes
///   tokenizer.json                     Hugging Face, the BPE family (docs/tokenizers.md); tokenizer_config.json beside it names the special tokens
///   vocab.bpe + encoder.json           GPT-2 as OpenAI released it; either file may be named
///   vocab.json + merges.txt            GPT-2, RoBERTa and BART as Hugging Face names them; config.json, tokenizer_config.json,
///                                      special_tokens_map.json and added_tokens.json beside them name the special tokens
///   *.model                            SentencePiece
/// In a folder tokenizer.json goes before the other forms that describe the same tokenizer; of the rest only one may be there.
/// Errors   IoError if nothing is there; InvalidArgument if no form or more than one is recognised; FormatError; Unsupported
[[nodiscard]] std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& path);

/// The tokenizer whose ids are the bytes themselves.
[[nodiscard]] std::unique_ptr<Tokenizer> make_bytes_tokenizer();

}  // namespace everlong::text
