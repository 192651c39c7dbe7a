#include <algorithm>
#include <mutex>

#include "everlong/base/error.h"
#include "everlong/text/added_token_matcher.h"
#include "everlong/text/bpe_definition.h"
#include "everlong/text/bpe_model.h"
#include "everlong/text/gpt2_split.h"
#include "everlong/text/normalizer.h"
#include "everlong/text/pre_tokenizer.h"
#include "everlong/text/token_decoder.h"
#include "everlong/text/tokenizer_json.h"

namespace everlong::text {
namespace {

bool is_byte_level(const BpeDefinition& definition) {
  return !definition.pre_tokenizer.empty() && definition.pre_tokenizer.back().kind == PreTokenizerStep::Kind::byte_level;
}

std::vector<AddedToken> added_tokens_where(const BpeDefinition& definition, bool normalized) {
  std::vector<AddedToken> tokens;
  for (const AddedToken& token : definition.added_tokens) {
    if (token.normalized == normalized) tokens.push_back(token);
  }
  return tokens;
}

std::vector<std::string> contents_of(const std::vector<AddedToken>& tokens, const Normalizer* normalizer) {
  constexpr size_t kMaxBytes = size_t{4} << 20;
  std::vector<std::string> contents;
  size_t bytes = 0;
  for (const AddedToken& token : tokens) {
    contents.push_back(normalizer ? normalizer->apply(token.content) : token.content);
    bytes += contents.back().size();
    require(bytes <= kMaxBytes,
            [&] { return Complaint{.where = "tokenizer", .expected = "added tokens of at most 4 MiB after normalization", .got = "more"}; });
  }
  return contents;
}

class BpeTokenizer final : public Tokenizer {
 public:
  BpeTokenizer(BpeDefinition definition, std::string_view where)
      : definition_(std::move(definition)),
        byte_level_(is_byte_level(definition_)),
        model_(definition_, byte_level_),
        normalizer_(definition_.normalizer, where),
        pre_tokenizer_(definition_.pre_tokenizer, where),
        raw_tokens_(added_tokens_where(definition_, false), contents_of(added_tokens_where(definition_, false), nullptr)),
        normalized_tokens_(added_tokens_where(definition_, true), contents_of(added_tokens_where(definition_, true), &normalizer_)),
        decoder_(definition_) {}

  [[nodiscard]] int32_t vocab_size() const override { return decoder_.vocab_size(); }
  [[nodiscard]] SpecialIds special_ids() const override { return definition_.special_ids; }
  [[nodiscard]] std::string_view kind() const override { return "bpe"; }
  [[nodiscard]] std::string fingerprint() const override { return fingerprint_of(definition_); }
  void save(const std::filesystem::path& folder) const override { save_tokenizer_json(definition_, folder); }
  [[nodiscard]] const BpeDefinition& definition() const { return definition_; }

  [[nodiscard]] std::string_view token_bytes(int32_t id) const override {
    check_id(id);
    return decoder_.bytes(id);
  }

  [[nodiscard]] std::optional<int32_t> token_id(std::string_view spelling) const override {
    std::call_once(spellings_made_, [this] {
      for (const VocabularyEntry& entry : definition_.vocabulary) spellings_.add(entry.spelling, entry.id);
      for (const AddedToken& token : definition_.added_tokens) spellings_.add(token.content, token.id);
    });
    return spellings_.find(spelling);
  }

  void decode_next(int32_t id, DecodePosition& position, std::string& bytes) const override {
    check_id(id);
    decoder_.decode_next(id, position, bytes);
  }

 protected:
  void append_encoding(std::string_view text, const EncodeOptions& options, std::vector<int32_t>& ids) const override {
    const auto& around = definition_.post_template;
    if (options.add_special && around) ids.insert(ids.end(), around->before.begin(), around->before.end());
    Lease scratch(*this);
    std::vector<TokenOrText> pieces;
    raw_tokens_.split(text, options.parse_special, pieces);
    for (const TokenOrText& piece : pieces) {
      if (piece.id >= 0) {
        ids.push_back(piece.id);
      } else {
        encode_raw(text.substr(piece.begin, piece.end - piece.begin), piece.begin == 0, options, *scratch, ids);
      }
    }
    if (options.add_special && around) ids.insert(ids.end(), around->after.begin(), around->after.end());
  }

 private:
  struct Scratch {
    BpeModel::Scratch model;
    std::vector<TokenOrText> pieces;
    Words words;
  };

  /// Scratch memory for one call, from a pool that grows to the number of threads that encode at once.
  class Lease {
   public:
    explicit Lease(const BpeTokenizer& owner) : owner_(owner) {
      const std::lock_guard lock(owner_.mutex_);
      if (owner_.idle_.empty()) return;
      scratch_ = std::move(owner_.idle_.back());
      owner_.idle_.pop_back();
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() {
      if (!scratch_) return;
      const std::lock_guard lock(owner_.mutex_);
      owner_.idle_.push_back(std::move(scratch_));
    }
    Scratch& operator*() {
      if (!scratch_) scratch_ = std::make_unique<Scratch>();
      return *scratch_;
    }

   private:
    const BpeTokenizer& owner_;
    std::unique_ptr<Scratch> scratch_;
  };

  void encode_raw(std::string_view raw, bool at_text_start, const EncodeOptions& options, Scratch& scratch, std::vector<int32_t>& ids) const {
    std::string normalized;
    if (!normalizer_.empty()) {
      normalized = normalizer_.apply(raw);
      raw = normalized;
    }
    if (normalized_tokens_.empty()) return encode_stretch(raw, at_text_start, scratch, ids);
    scratch.pieces.clear();
    normalized_tokens_.split(raw, options.parse_special, scratch.pieces);
    for (const TokenOrText& piece : scratch.pieces) {
      if (piece.id >= 0) {
        ids.push_back(piece.id);
      } else {
        encode_stretch(raw.substr(piece.begin, piece.end - piece.begin), at_text_start && piece.begin == 0, scratch, ids);
      }
    }
  }

  void encode_stretch(std::string_view stretch, bool at_text_start, Scratch& scratch, std::vector<int32_t>& ids) const {
    if (stretch.empty()) return;
    if (pre_tokenizer_.empty()) return encode_word(stretch, scratch, ids);
    scratch.words.buffer = stretch;
    scratch.words.ranges.assign(1, {0, stretch.size()});
    pre_tokenizer_.apply(scratch.words, at_text_start);
    for (const ByteRange& range : scratch.words.ranges) {
      encode_word(std::string_view(scratch.words.buffer).substr(range.begin, range.end - range.begin), scratch, ids);
    }
  }

  void encode_word(std::string_view word, Scratch& scratch, std::vector<int32_t>& ids) const {
    if (!byte_level_) return model_.encode_word(word, scratch.model, ids);
    const PreTokenizerStep& step = definition_.pre_tokenizer.back();
    if (!step.add_prefix_space || word.starts_with(' ')) return encode_bytes(word, step.use_regex, scratch, ids);
    encode_bytes(' ' + std::string(word), step.use_regex, scratch, ids);
  }

  void encode_bytes(std::string_view bytes, bool use_regex, Scratch& scratch, std::vector<int32_t>& ids) const {
    if (!use_regex) return model_.encode_word(bytes, scratch.model, ids);
    for (size_t begin = 0; begin < bytes.size();) {
      const size_t end = gpt2_word_end(bytes, begin);
      model_.encode_word(bytes.substr(begin, end - begin), scratch.model, ids);
      begin = end;
    }
  }

  BpeDefinition definition_;
  bool byte_level_;
  BpeModel model_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  AddedTokenMatcher raw_tokens_, normalized_tokens_;
  TokenDecoder decoder_;
  mutable std::once_flag spellings_made_;
  mutable SpellingIds spellings_;  ///< made when it is first asked for: encoding and decoding do without
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Scratch>> idle_;
};

}  // namespace

BpeDefinition byte_level_definition() {
  BpeDefinition definition;
  definition.pre_tokenizer.push_back({.kind = PreTokenizerStep::Kind::byte_level});
  definition.decoder.push_back({.kind = DecoderStep::Kind::byte_level});
  return definition;
}

std::unique_ptr<Tokenizer> make_bpe_tokenizer(BpeDefinition definition, std::string_view where) {
  return std::make_unique<BpeTokenizer>(std::move(definition), where);
}

const BpeDefinition* bpe_definition(const Tokenizer& tokenizer) {
  const auto* bpe = dynamic_cast<const BpeTokenizer*>(&tokenizer);
  return bpe ? &bpe->definition() : nullptr;
}

}  // namespace everlong::text
