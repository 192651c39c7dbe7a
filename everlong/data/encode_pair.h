#pragma once
// One or two texts as the token sequence that RoBERTa, BART and MEGA encoders were trained on. No torch.

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "everlong/text/tokenizer.h"

namespace everlong::data {

/// The tokens around texts.
struct SequenceMarks {
  int32_t begin = 0;  ///< <s>
  int32_t end = 2;    ///< </s>
};

/// The bos and eos of a tokenizer.
/// Errors   InvalidArgument if it lacks one
[[nodiscard]] SequenceMarks sequence_marks(const text::Tokenizer& tokenizer);

/// Where to take tokens away when two texts are too long together.
enum class Truncation {
  longest_first,  ///< from the longer one until both are equal, then from both
  only_second,    ///< from the second one: for questions about a context
};

struct PairOptions {
  SequenceMarks marks = {};
  int64_t max_len = 512;  ///< tokens, marks included
  Truncation truncation = Truncation::longest_first;
};

/// Tokens, and where the texts' own lie among them: [begin, end).
struct EncodedPair {
  std::vector<int32_t> ids;
  std::pair<size_t, size_t> a = {0, 0};
  std::pair<size_t, size_t> b = {0, 0};  ///< empty without a second text
};

/// Puts marks around tokens: <s> a </s>, or <s> a </s></s> b </s>. What is cut is cut from the ends of the texts.
/// Errors   InvalidArgument if max_len leaves no room for one token of each text
/// Source   transformers' RobertaTokenizerFast and BartTokenizerFast with truncation="longest_first" (or "only_second"). Exact; where both are cut
///          and the room is odd, the longer text has the odd token, the second where they are equal.
[[nodiscard]] EncodedPair join_pair(std::vector<int32_t> a, const std::optional<std::vector<int32_t>>& b, const PairOptions& options);

/// Encodes the texts without the tokenizer's own template and joins them. `parse_special`: text that spells a special token, as <mask>, becomes it.
/// Errors   as join_pair
[[nodiscard]] EncodedPair encode_pair(const text::Tokenizer& tokenizer, std::string_view a, std::optional<std::string_view> b,
                                      const PairOptions& options, bool parse_special = false);

/// The byte of `text` behind each of its tokens, for tokenizers whose tokens spell the text byte by byte (a space in front may have been added).
/// Errors   Unsupported if they do not, as after normalization
[[nodiscard]] std::vector<size_t> token_ends(const text::Tokenizer& tokenizer, std::string_view text, const std::vector<int32_t>& ids);

}  // namespace everlong::data
