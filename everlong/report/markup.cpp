#include "everlong/report/markup.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace everlong::report {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
constexpr std::string_view kDash = "\xE2\x80\x93";

// Length of the valid UTF-8 sequence at `at`, or 0.
size_t sequence_length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(at);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xC2 && lead < 0xE0 ? 2 : (lead & 0xF0) == 0xE0 ? 3 : lead >= 0xF0 && lead < 0xF5 ? 4 : 0;
  if (length == 0 || at + length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(at + i) & 0xC0) != 0x80) return 0;
  const uint8_t second = byte(at + 1);
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool surrogate = lead == 0xED && second >= 0xA0;
  const bool beyond = lead == 0xF4 && second >= 0x90;
  return overlong || surrogate || beyond ? 0 : length;
}

bool is_forbidden_control(char c) {
  const auto byte = static_cast<uint8_t>(c);
  return (byte < 0x20 && c != '\n' && c != '\t' && c != '\r') || byte == 0x7F;
}

}  // namespace

std::string clean_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t i = 0; i < bytes.size();) {
    const size_t length = sequence_length(bytes, i);
    if (length == 0 || is_forbidden_control(bytes[i])) {
      out += kReplacement;
      ++i;
    } else {
      out += bytes.substr(i, length);
      i += length;
    }
  }
  return out;
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : clean_utf8(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string json_string(std::string_view text) {
  const std::string clean = clean_utf8(text);
  std::string out = "\"";
  for (size_t i = 0; i < clean.size();) {
    const size_t length = sequence_length(clean, i);
    const auto lead = static_cast<uint8_t>(clean[i]);
    if (length == 1) {
      const bool plain = lead >= 0x20 && clean[i] != '"' && clean[i] != '\\' && clean[i] != '<' && clean[i] != '>' && clean[i] != '&';
      if (plain) out += clean[i];
      if (!plain) out += fmt::format("\\u{:04x}", lead);
    } else {
      uint32_t code = lead & (0x7Fu >> length);
      for (size_t k = 1; k < length; ++k) code = code << 6 | (static_cast<uint8_t>(clean[i + k]) & 0x3Fu);
      if (code >= 0x10000) {
        code -= 0x10000;
        out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (code >> 10), 0xDC00 + (code & 0x3FF));
      } else {
        out += fmt::format("\\u{:04x}", code);
      }
    }
    i += length;
  }
  return out + '"';
}

std::string json_number(double value, int digits) { return std::isfinite(value) ? fmt::format("{:.{}g}", value, digits) : "null"; }

std::string shorten(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return std::string(text);
  size_t end = max_bytes;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) --end;
  return std::string(text.substr(0, end)) + " \xE2\x80\xA6";
}

std::string short_count(double value, int digits) {
  if (!std::isfinite(value)) return std::string(kDash);
  constexpr std::array kUnits = {"", "\xC2\xA0k", "\xC2\xA0M", "\xC2\xA0G", "\xC2\xA0T"};
  size_t unit = 0;
  while (std::abs(value) >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.{}g}{}", value, unit == 0 && value == std::floor(value) ? std::max(digits, 4) : digits, kUnits[unit]);
}

std::string fixed(double value, int decimals) { return std::isfinite(value) ? fmt::format("{:.{}f}", value, decimals) : std::string(kDash); }

}  // namespace everlong::report
