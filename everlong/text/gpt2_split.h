#pragma once
// GPT-2's pre-tokenizer without a regular expression engine.

#include <cstddef>
#include <string_view>

namespace everlong::text {

/// The pattern that gpt2_word_end implements, for files that name it.
inline constexpr std::string_view kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// End of the word that begins at `begin` (< text.size()); the next word begins there, so that the words cover the text.
/// A byte that belongs to no UTF-8 character counts as one that is neither letter, number nor space.
/// Cost     O(length of the word + 1)
/// Source   openai/gpt-2, src/encoder.py, Encoder.pat. Exact, with \s = White_Space.
[[nodiscard]] size_t gpt2_word_end(std::string_view text, size_t begin);

}  // namespace everlong::text
