#pragma once
// The three properties of characters that pre-tokenizers ask for.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace everlong::text {

enum class CharClass : uint8_t { other, letter, number, space };

/// \p{L}, \p{N}, White_Space, or none of them. Source  utf8proc's Unicode tables.
[[nodiscard]] CharClass char_class(char32_t value);

/// A letter, mark, number, connector or joiner: what \w matches.
[[nodiscard]] bool is_word_char(char32_t value);

enum class NormalForm { nfc, nfd, nfkc, nfkd };

/// Normalizes; bytes that are no UTF-8 pass unchanged and separate what is around them.
/// Cost     O(n); runs of combining marks are cut as the Stream-Safe Text Format does, at kMaxMarks, far beyond any language's
/// Source   Unicode Standard Annex 15, through utf8proc
[[nodiscard]] std::string normalize_unicode(std::string_view text, NormalForm form);

inline constexpr size_t kMaxMarks = 1024;

}  // namespace everlong::text
