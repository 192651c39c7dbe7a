#include "everlong/text/byte_alphabet.h"

#include <array>

#include "everlong/text/utf8.h"

namespace everlong::text {
namespace {

constexpr char32_t kFirstShifted = 0x100;
constexpr size_t kShiftedCount = 68;

constexpr bool prints(int byte) { return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE; }

struct Tables {
  std::array<char32_t, 256> to_char{};
  std::array<uint8_t, kShiftedCount> shifted{};
};

constexpr Tables kTables = [] {
  Tables tables;
  size_t count = 0;
  for (int byte = 0; byte < 256; ++byte) {
    if (!prints(byte)) tables.shifted[count] = static_cast<uint8_t>(byte);
    tables.to_char[static_cast<size_t>(byte)] = prints(byte) ? static_cast<char32_t>(byte) : kFirstShifted + static_cast<char32_t>(count++);
  }
  return tables;
}();

}  // namespace

char32_t byte_to_char(uint8_t byte) { return kTables.to_char[byte]; }

std::optional<uint8_t> char_to_byte(char32_t value) {
  if (value < kFirstShifted) return prints(static_cast<int>(value)) ? std::optional(static_cast<uint8_t>(value)) : std::nullopt;
  if (value >= kFirstShifted + kShiftedCount) return std::nullopt;
  return kTables.shifted[value - kFirstShifted];
}

std::string spell_bytes(std::string_view bytes) {
  std::string spelling;
  for (const char byte : bytes) append_utf8(spelling, byte_to_char(static_cast<uint8_t>(byte)));
  return spelling;
}

std::optional<std::string> unspell_bytes(std::string_view spelling) {
  std::string bytes;
  bytes.reserve(spelling.size());
  for (size_t i = 0; i < spelling.size();) {
    if (const auto ascii = static_cast<uint8_t>(spelling[i]); ascii < 0x80 && prints(ascii)) {  // most are
      bytes += spelling[i++];
      continue;
    }
    const CodePoint point = code_point_at(spelling, i);
    const auto byte = point.valid ? char_to_byte(point.value) : std::nullopt;
    if (!byte) return std::nullopt;
    bytes += static_cast<char>(*byte);
    i += point.size_bytes;
  }
  return bytes;
}

}  // namespace everlong::text
