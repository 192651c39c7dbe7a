#pragma once
// UTF-8 read strictly: no overlong forms, no surrogates, nothing above U+10FFFF.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace everlong::text {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

/// One code point of a text, or one byte that belongs to none.
struct CodePoint {
  char32_t value = kReplacementCharacter;
  uint8_t size_bytes = 1;
  bool valid = false;
};

/// Reads the code point at `position` (< text.size()).
[[nodiscard]] CodePoint code_point_at(std::string_view text, size_t position);

/// First byte of the code point that ends at `position` (> 0); a byte that belongs to no code point stands alone.
[[nodiscard]] size_t code_point_before(std::string_view text, size_t position);

void append_utf8(std::string& text, char32_t value);

[[nodiscard]] bool is_utf8(std::string_view text);

/// Appends `bytes` to `text` as UTF-8, each maximal invalid stretch as one U+FFFD, and returns how many bytes that took.
/// Bytes at the end that may still become a character are left (at most 3), unless `final`.
/// Source   Unicode 15, section 3.9, "U+FFFD substitution of maximal subparts". Exact.
size_t append_repaired(std::string_view bytes, bool final, std::string& text);

}  // namespace everlong::text
