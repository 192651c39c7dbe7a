#pragma once
// A tokenizer of the BPE family as data: what tokenizer.json says, in the subset that everlong reads and writes.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/text/bpe_merger.h"
#include "everlong/text/tokenizer.h"
#include "everlong/text/unicode.h"

namespace everlong::text {

struct VocabularyEntry {
  std::string spelling;
  int32_t id = 0;
};

/// A token found in the text before anything else looks at it.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;      ///< left out when decoding
  bool single_word = false;  ///< only where no word character touches it
  bool lstrip = false;       ///< takes the spaces before it along
  bool rstrip = false;       ///< takes the spaces after it along
  bool normalized = false;   ///< looked for after normalization, not before
};

/// Literal text, or a regular expression as PCRE2 reads it.
struct TextPattern {
  bool is_regex = false;
  std::string text;
};

struct NormalizerStep {
  enum class Kind { prepend, replace, unicode, strip };
  Kind kind = Kind::prepend;
  NormalForm form = NormalForm::nfc;
  TextPattern pattern = {};          ///< replace
  std::string content = {};          ///< prepend, replace
  bool left = false, right = false;  ///< strip
};

enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };
enum class PrependScheme { always, first, never };

struct PreTokenizerStep {
  enum class Kind { byte_level, metaspace, split, digits };
  Kind kind = Kind::byte_level;
  bool add_prefix_space = false;  ///< byte_level
  bool use_regex = true;          ///< byte_level: split as GPT-2 does
  std::string replacement = {};   ///< metaspace: what stands for a space
  PrependScheme prepend = PrependScheme::always;
  bool split = true;         ///< metaspace: a piece begins at each replacement
  TextPattern pattern = {};  ///< split
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;             ///< split: the pattern describes pieces, not what is between them
  bool individual_digits = false;  ///< digits
};

struct DecoderStep {
  enum class Kind { byte_level, metaspace, replace, byte_fallback, fuse, strip };
  Kind kind = Kind::byte_level;
  std::string pattern = {};      ///< replace: literal
  std::string content = {};      ///< replace; strip: one character
  int64_t start = 0, stop = 0;   ///< strip: at most so many at either end
  std::string replacement = {};  ///< metaspace
  PrependScheme prepend = PrependScheme::always;
  bool split = true;  ///< metaspace
};

/// The ids that the post-processor puts around a text.
struct TextTemplate {
  std::vector<int32_t> before, after;
  bool pair_ends_twice = false;  ///< between two texts stand after and after, as RoBERTa has it, not after and before
};

struct BpeDefinition {
  std::vector<VocabularyEntry> vocabulary;  ///< in order of ids; ids and spellings are unique
  std::vector<BpeMerge> merges;
  std::optional<std::string> unk_token;
  bool fuse_unk = false;
  bool byte_fallback = false;
  bool ignore_merges = false;
  std::vector<AddedToken> added_tokens;  ///< in order of ids
  std::vector<NormalizerStep> normalizer;
  std::vector<PreTokenizerStep> pre_tokenizer;  ///< byte_level, if there, is the last
  std::optional<TextTemplate> post_template;
  std::vector<DecoderStep> decoder;
  SpecialIds special_ids;
};

/// A byte-level definition with nothing but GPT-2's pre-tokenizer and decoder in it.
[[nodiscard]] BpeDefinition byte_level_definition();

/// Hash of all of it, independent of how a file spells it.
[[nodiscard]] std::string fingerprint_of(const BpeDefinition& definition);

/// Builds the tokenizer. The definition must hold what its comments say; read_tokenizer_json, read_gpt2_files and train_bpe see to that.
/// Errors   Unsupported, FormatError if a pattern does not compile; `where` names the file in messages
[[nodiscard]] std::unique_ptr<Tokenizer> make_bpe_tokenizer(BpeDefinition definition, std::string_view where = "tokenizer");

/// The definition behind a tokenizer of kind "bpe"; null for others. Valid as long as the tokenizer.
[[nodiscard]] const BpeDefinition* bpe_definition(const Tokenizer& tokenizer);

}  // namespace everlong::text
