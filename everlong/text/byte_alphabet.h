#pragma once
// The printable characters under which byte-level vocabularies store bytes.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace everlong::text {

/// The character that stands for a byte: itself where Latin-1 prints it, else U+0100 and on in order of the bytes.
/// Source   openai/gpt-2, src/encoder.py, bytes_to_unicode. Exact.
[[nodiscard]] char32_t byte_to_char(uint8_t byte);

/// The inverse; absent for characters that stand for no byte.
[[nodiscard]] std::optional<uint8_t> char_to_byte(char32_t value);

/// Spells bytes in the alphabet, as UTF-8.
[[nodiscard]] std::string spell_bytes(std::string_view bytes);

/// The bytes that a spelling stands for; absent if it has a character outside the alphabet.
[[nodiscard]] std::optional<std::string> unspell_bytes(std::string_view spelling);

}  // namespace everlong::text
