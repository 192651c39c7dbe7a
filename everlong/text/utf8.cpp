#include "everlong/text/utf8.h"

#include <algorithm>

namespace everlong::text {
namespace {

uint8_t byte_at(std::string_view text, size_t position) { return static_cast<uint8_t>(text[position]); }

/// What may follow a lead byte: length of the sequence and range of the second byte (Unicode 15, table 3-7).
struct Lead {
  uint8_t size_bytes = 0;  ///< 0: no lead byte
  uint8_t second_min = 0x80;
  uint8_t second_max = 0xBF;
};

Lead lead_of(uint8_t byte) {
  if (byte < 0x80) return {1};
  if (byte < 0xC2) return {0};
  if (byte < 0xE0) return {2};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0};
}

/// Bytes from `position` that begin as a valid sequence would: the whole sequence, or the part before the first wrong byte.
size_t well_formed_prefix(std::string_view text, size_t position, const Lead& lead) {
  size_t size = 1;
  while (size < lead.size_bytes && position + size < text.size()) {
    const uint8_t byte = byte_at(text, position + size);
    const uint8_t min = size == 1 ? lead.second_min : 0x80;
    const uint8_t max = size == 1 ? lead.second_max : 0xBF;
    if (byte < min || byte > max) break;
    ++size;
  }
  return size;
}

}  // namespace

CodePoint code_point_at(std::string_view text, size_t position) {
  const uint8_t first = byte_at(text, position);
  if (first < 0x80) return {first, 1, true};
  const Lead lead = lead_of(first);
  if (lead.size_bytes == 0 || well_formed_prefix(text, position, lead) != lead.size_bytes) return {};
  char32_t value = first & (0x7F >> lead.size_bytes);
  for (size_t i = 1; i < lead.size_bytes; ++i) value = value << 6 | (byte_at(text, position + i) & 0x3F);
  return {value, lead.size_bytes, true};
}

size_t code_point_before(std::string_view text, size_t position) {
  for (size_t size = 1; size <= 4 && size <= position; ++size) {
    const CodePoint point = code_point_at(text.substr(0, position), position - size);
    if (point.valid && point.size_bytes == size) return position - size;
  }
  return position - 1;
}

void append_utf8(std::string& text, char32_t value) {
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | (value >> shift & 0x3F)); };
  if (value < 0x80) {
    text += static_cast<char>(value);
  } else if (value < 0x800) {
    text += static_cast<char>(0xC0 | value >> 6);
    tail(0);
  } else if (value < 0x10000) {
    text += static_cast<char>(0xE0 | value >> 12);
    tail(6);
    tail(0);
  } else {
    text += static_cast<char>(0xF0 | value >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = code_point_at(text, i);
    if (!point.valid) return false;
    i += point.size_bytes;
  }
  return true;
}

size_t append_repaired(std::string_view bytes, bool final, std::string& text) {
  size_t i = 0;
  while (i < bytes.size()) {
    const Lead lead = lead_of(byte_at(bytes, i));
    const size_t size = lead.size_bytes == 0 ? 1 : well_formed_prefix(bytes, i, lead);
    if (size == lead.size_bytes) {
      text += bytes.substr(i, size);
    } else if (lead.size_bytes != 0 && i + size == bytes.size() && !final) {
      break;
    } else {
      append_utf8(text, kReplacementCharacter);
    }
    i += size;
  }
  return i;
}

}  // namespace everlong::text
