#include "everlong/io/excerpt.h"

#include <simdjson.h>

#include <fmt/format.h>

namespace everlong::io {

bool is_valid_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

std::string excerpt(std::string_view text, size_t max_bytes) {
  const bool cut = text.size() > max_bytes;
  if (cut) {
    size_t end = max_bytes;
    while (end > 0 && max_bytes - end < 3 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text = text.substr(0, end);
  }
  const bool utf8 = is_valid_utf8(text);
  std::string shown;
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if (byte < 0x20 || byte == 0x7F || (byte >= 0x80 && !utf8))
      shown += fmt::format("\\x{:02X}", byte);
    else
      shown += letter;
  }
  return cut ? shown + "..." : shown;
}

}  // namespace everlong::io
