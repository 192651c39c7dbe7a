#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/everlong/inspection.h"

namespace everlong::app {
namespace {

constexpr size_t kLongestValue = 100;

std::string words_of(const std::string& key) {
  std::string words = key;
  std::replace(words.begin(), words.end(), '_', ' ');
  return words;
}

/// One value on one line; quantities in bytes with their unit.
std::string value_text(const std::string& key, const Json& value) {
  if (value.is_number_integer() && (key == "bytes" || key.ends_with("_bytes"))) return human_bytes(value.get<int64_t>());
  if (value.is_number_float()) return fmt::format("{:.10g}", std::nearbyint(value.get<double>() * 1e6) / 1e6);
  std::string text = value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::replace(text.begin(), text.end(), '\n', ' ');
  text = printable(text);
  if (text.size() <= kLongestValue) return text;
  size_t end = kLongestValue;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // not inside a character
  return text.substr(0, end) + "...";
}

bool is_table(const Json& value) { return value.is_array() && !value.empty() && value.front().is_object(); }

std::string table_text(const Json& rows) {
  std::vector<Table::Column> columns;
  for (const auto& [key, value] : rows.front().items()) columns.push_back({words_of(key), value.is_number() ? Align::right : Align::left});
  Table table(columns);
  for (const auto& row : rows) {
    std::vector<std::string> cells;
    for (const auto& [key, value] : row.items()) cells.push_back(value_text(key, value));
    table.add_row(std::move(cells));
  }
  return table.text();
}

using Lines = std::vector<std::pair<std::string, std::string>>;

std::string aligned(const Lines& lines) {
  int width = 0;
  for (const auto& line : lines) width = std::max(width, display_width(line.first));
  std::string text;
  for (const auto& line : lines) {
    const auto padding = static_cast<size_t>(width - display_width(line.first));
    text += fmt::format("{}{}  {}\n", line.first, std::string(padding, ' '), line.second);
  }
  return text;
}

}  // namespace

std::string inspection_text(const Json& finding) {
  Lines scalars;
  std::string rest;
  for (const auto& [key, value] : finding.items()) {
    if (is_table(value)) {
      rest += "\n" + table_text(value);
    } else if (value.is_object()) {
      if (value.empty()) continue;
      Lines members;
      for (const auto& [name, member] : value.items()) members.emplace_back("  " + printable(name), value_text(name, member));
      rest += fmt::format("\n{}\n{}", words_of(key), aligned(members));
    } else if (!value.is_array() || !value.empty()) {
      scalars.emplace_back(words_of(key), value_text(key, value));
    }
  }
  return aligned(scalars) + rest;
}

std::string json_line(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }

}  // namespace everlong::app
