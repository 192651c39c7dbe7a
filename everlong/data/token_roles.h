#pragma once
// What masking must know about each id of a vocabulary. No torch.

#include <cstdint>
#include <vector>

namespace everlong::text {
class Tokenizer;
}

namespace everlong::data {

struct TokenRoles {
  std::vector<uint8_t> special;      ///< by id: never masked, never drawn as a random token
  std::vector<uint8_t> begins_word;  ///< by id: the token stands for text that begins with white space
  std::vector<int32_t> ordinary;     ///< all ids that are not special, ascending

  [[nodiscard]] int64_t vocab_size() const { return static_cast<int64_t>(special.size()); }
};

/// Asks a tokenizer for all its ids. Special are the tokens that stand for no text, and the mask; words begin at tokens like GPT-2's " the" and
/// SentencePiece's "_the". Tokens of a byte tokenizer begin a word where the byte is white space.
/// Cost     O(size of the vocabulary)
[[nodiscard]] TokenRoles token_roles(const text::Tokenizer& tokenizer);

/// Roles from the two tables alone.
/// Errors   InvalidArgument if they differ in length or every token is special
[[nodiscard]] TokenRoles token_roles(std::vector<uint8_t> special, std::vector<uint8_t> begins_word);

}  // namespace everlong::data
