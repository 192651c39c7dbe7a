// Configurations as TOML text.

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/toml.h"

namespace everlong::io {
namespace {

std::string toml_string(std::string_view text) {
  require(is_valid_utf8(text), [&] { return Complaint{.where = "config", .expected = "UTF-8 in every text", .got = excerpt(text)}; });
  std::string out = "\"";
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if (letter == '"' || letter == '\\')
      out += std::string{'\\', letter};
    else if (byte < 0x20 || byte == 0x7F)
      out += fmt::format("\\u{:04X}", byte);
    else
      out += letter;
  }
  return out + '"';
}

/// "a.b" as TOML reads it: parts that are not plain words in quotes.
std::string key_text(std::string_view dotted) {
  constexpr std::string_view kWord = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  std::string out;
  for (;;) {
    const auto part = dotted.substr(0, dotted.find('.'));
    out += part.empty() || part.find_first_not_of(kWord) != std::string_view::npos ? toml_string(part) : std::string(part);
    if (part.size() == dotted.size()) return out;
    out += '.';
    dotted.remove_prefix(part.size() + 1);
  }
}

struct TomlPrinter {
  std::string operator()(std::monostate) const { return "\"none\""; }
  std::string operator()(bool flag) const { return flag ? "true" : "false"; }
  std::string operator()(int64_t integer) const { return fmt::format("{}", integer); }
  std::string operator()(double number) const {
    const std::string text = fmt::format("{}", number);
    const bool is_float = !std::isfinite(number) || text.find_first_of(".e") != std::string::npos;
    return is_float ? text : text + ".0";
  }
  std::string operator()(const std::string& text) const { return toml_string(text); }
  std::string operator()(const std::vector<std::string>& list) const {
    std::vector<std::string> items;
    for (const std::string& item : list) items.push_back(toml_string(item));
    return fmt::format("[{}]", fmt::join(items, ", "));
  }
};

std::string comment(std::string_view text) {
  std::string out = "# ";
  for (const char letter : text) {
    if (letter == '\n')
      out += "\n# ";
    else if (static_cast<unsigned char>(letter) >= 0x20 && letter != 0x7F)
      out += letter;
  }
  return out + '\n';
}

std::string_view section_of(const Field& field) {
  const auto dot = field.key.rfind('.');
  return dot == std::string::npos ? std::string_view() : std::string_view(field.key).substr(0, dot);
}

}  // namespace

std::string to_toml(const Fields& fields) {
  // Keys of the top level come first, whatever their place in the list: below a section's name they would belong to it.
  std::vector<std::string_view> sections{""};
  for (const Field& field : fields.all()) {
    if (std::find(sections.begin(), sections.end(), section_of(field)) == sections.end()) sections.push_back(section_of(field));
  }
  std::string out;
  for (const std::string_view section : sections) {
    if (!section.empty()) out += fmt::format("{}[{}]\n", out.empty() ? "" : "\n", key_text(section));
    for (const Field& field : fields.all()) {
      if (section_of(field) != section) continue;
      const auto name = std::string_view(field.key).substr(section.empty() ? 0 : section.size() + 1);
      const std::string doc = field.doc.empty() ? field.type : fmt::format("{} ({})", field.doc, field.type);
      require(is_valid_utf8(doc), [&] { return Complaint{.where = field.key, .expected = "a description in UTF-8"}; });
      out += comment(doc) + fmt::format("{} = {}\n", key_text(name), std::visit(TomlPrinter{}, field.get()));
    }
  }
  return out;
}

}  // namespace everlong::io
