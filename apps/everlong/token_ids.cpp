#include "apps/everlong/token_ids.h"

#include <charconv>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/json.h"

namespace everlong::app {
namespace {

constexpr std::string_view kExpected = "a token id in [0, 2147483648)";

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

std::string decimal(std::span<const int32_t> ids, char separator) {
  fmt::memory_buffer text;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i > 0) text.push_back(separator);
    fmt::format_to(std::back_inserter(text), "{}", ids[i]);
  }
  return fmt::to_string(text);
}

std::string words(std::span<const int32_t> ids, size_t width) {
  std::string bytes;
  bytes.reserve(ids.size() * width);
  for (const int32_t id : ids) {
    require(width > 2 || id <= std::numeric_limits<uint16_t>::max(), [&] {
      return Complaint{.where = "tokenize", .expected = "ids below 65536 for 16-bit words", .got = fmt::format("{}", id), .hint = "use --format u32"};
    });
    for (size_t i = 0; i < width; ++i) bytes += static_cast<char>(static_cast<uint32_t>(id) >> (8 * i) & 0xff);
  }
  return bytes;
}

std::vector<int32_t> from_decimal(std::string_view text, std::string_view file_name) {
  std::vector<int32_t> ids;
  const char *begin = text.data(), *end = begin + text.size();
  for (const char* at = begin; at != end;) {
    if (is_space(*at)) {
      ++at;
      continue;
    }
    int32_t id = -1;
    const auto parsed = std::from_chars(at, end, id);
    const bool whole = parsed.ec == std::errc{} && id >= 0 && (parsed.ptr == end || is_space(*parsed.ptr));
    if (!whole) {
      const auto rest = text.substr(static_cast<size_t>(at - begin), 40);
      const auto word = rest.substr(0, rest.find_first_of(" \n\t\r"));
      throw FormatError({.file = std::string(file_name), .offset = at - begin}, kExpected, io::excerpt(word));
    }
    ids.push_back(id);
    at = parsed.ptr;
  }
  return ids;
}

std::vector<int32_t> from_json(std::string_view text, std::string_view file_name) {
  const io::Json list = io::parse_json(text, file_name);
  if (!list.is_array()) throw FormatError({.file = std::string(file_name)}, "a JSON list of token ids", list.type_name());
  std::vector<int32_t> ids;
  for (const io::Json& item : list) {
    const auto place = fmt::format("[{}]", ids.size());
    const bool fits = item.is_number_unsigned() && item.get<uint64_t>() <= std::numeric_limits<int32_t>::max();
    if (!fits) throw FormatError({.file = std::string(file_name), .field = place}, kExpected, io::excerpt(item.dump()));
    ids.push_back(item.get<int32_t>());
  }
  return ids;
}

std::vector<int32_t> from_words(std::string_view bytes, size_t width, std::string_view file_name) {
  if (bytes.size() % width != 0)
    throw FormatError({.file = std::string(file_name)}, fmt::format("a multiple of {} bytes", width), fmt::format("{} bytes", bytes.size()));
  std::vector<int32_t> ids;
  ids.reserve(bytes.size() / width);
  for (size_t at = 0; at < bytes.size(); at += width) {
    uint32_t id = 0;
    for (size_t i = width; i-- > 0;) id = id << 8 | static_cast<unsigned char>(bytes[at + i]);
    if (id > std::numeric_limits<int32_t>::max())
      throw FormatError({.file = std::string(file_name), .offset = static_cast<int64_t>(at)}, kExpected, fmt::format("{}", id));
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

}  // namespace

std::string ids_to_text(std::span<const int32_t> ids, IdFormat format) {
  switch (format) {
    case IdFormat::text:
      return decimal(ids, ' ') + "\n";
    case IdFormat::json:
      return "[" + decimal(ids, ',') + "]\n";
    case IdFormat::u16:
      return words(ids, 2);
    case IdFormat::u32:
      return words(ids, 4);
  }
  return {};
}

std::vector<int32_t> ids_from_text(std::string_view text, IdFormat format, std::string_view file_name) {
  switch (format) {
    case IdFormat::text:
      return from_decimal(text, file_name);
    case IdFormat::json:
      return from_json(text, file_name);
    case IdFormat::u16:
      return from_words(text, 2, file_name);
    case IdFormat::u32:
      return from_words(text, 4, file_name);
  }
  return {};
}

}  // namespace everlong::app
