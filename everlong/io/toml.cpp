#include "everlong/io/toml.h"

#include <algorithm>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/mapped_file.h"
#include "everlong/io/toml_library.h"

namespace everlong::io {
namespace {

constexpr int kMaxKeyParts = 16;

FileLocation place(std::string_view file, int64_t line, int64_t column) { return {std::string(file), line, fmt::format("column {}", column)}; }

/// Skips the string that starts at `at`, of any of the four kinds; returns where it ends, an unfinished one at the end of its line.
size_t skip_string(std::string_view text, size_t at) {
  const char quote = text[at];
  const bool is_long = text.substr(at, 3) == std::string(3, quote);
  for (size_t i = at + (is_long ? 3 : 1); i < text.size(); ++i) {
    if (text[i] == '\\' && quote == '"') {
      ++i;
    } else if (!is_long && (text[i] == quote || text[i] == '\n')) {
      return i + 1;
    } else if (is_long && text.substr(i, 3) == text.substr(at, 3)) {
      return i + 3;
    }
  }
  return text.size();
}

/// Refuses keys of very many parts. The library counts nested values, not the parts of a.b.c.d, and recurses over them.
void check_key_depth(std::string_view text, std::string_view file) {
  int parts = 1;
  int64_t line = 1;
  size_t line_start = 0;
  for (size_t i = 0; i < text.size();) {
    const char letter = text[i];
    if (letter == '"' || letter == '\'') {
      const size_t end = skip_string(text, i);
      line += std::count(text.begin() + static_cast<std::ptrdiff_t>(i), text.begin() + static_cast<std::ptrdiff_t>(std::min(end, text.size())), '\n');
      i = end;
      continue;
    }
    if (letter == '#') {
      i = std::min(text.find('\n', i), text.size());
      continue;
    }
    if (letter == '.' && ++parts > kMaxKeyParts) {
      throw FormatError(place(file, line, static_cast<int64_t>(i - line_start) + 1), fmt::format("a key of at most {} parts", kMaxKeyParts), "more");
    }
    if (letter == ',' || letter == '=' || letter == '\n') parts = 1;
    if (letter == '\n') {
      ++line;
      line_start = i + 1;
    }
    ++i;
  }
}

/// The first table header that begins with something no key begins with: the one known cause of a broken precondition.
FileLocation place_of_bad_header(std::string_view text, std::string_view file) {
  int64_t line = 1;
  for (size_t start = 0; start < text.size(); ++line) {
    const size_t end = std::min(text.find('\n', start), text.size());
    const std::string_view content = text.substr(start, end - start);
    const size_t bracket = content.find_first_not_of(" \t");
    const size_t after = bracket == std::string_view::npos ? bracket : content.find_first_not_of(" \t", bracket + 2);
    const bool is_header = after != std::string_view::npos && content.substr(bracket, 2) == "[[";
    if (is_header && std::string_view("[]=.,{}#").find(content[after]) != std::string_view::npos)
      return place(file, line, static_cast<int64_t>(after) + 1);
    start = end + 1;
  }
  return {.file = std::string(file)};
}

std::optional<ConfigValue> scalar(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* integer = node.as_integer()) return integer->get();
  if (const auto* number = node.as_floating_point()) return number->get();
  if (const auto* flag = node.as_boolean()) return flag->get();
  return std::nullopt;
}

class Flattener {
 public:
  explicit Flattener(std::string_view file) : file_(file) {}

  void add(const std::string& prefix, const toml::table& table) {
    for (const auto& [name, node] : table) {
      const std::string key = prefix + std::string(name.str());
      if (const auto* section = node.as_table())
        add(key + '.', *section);
      else
        entries_.push_back({.key = key, .value = value(node, key), .line = name.source().begin.line, .column = name.source().begin.column});
    }
  }

  std::vector<TomlEntry> take() {
    const auto position = [](const TomlEntry& entry) { return std::tie(entry.line, entry.column); };
    std::sort(entries_.begin(), entries_.end(), [&](const TomlEntry& a, const TomlEntry& b) { return position(a) < position(b); });
    std::set<std::string_view> seen;
    for (const TomlEntry& entry : entries_) {
      // The library refuses duplicates; this is left: "a.b" in quotes beside b in [a].
      if (!seen.insert(entry.key).second) throw FormatError(place(file_, entry.line, entry.column), "each key once", excerpt(entry.key) + " twice");
    }
    return std::move(entries_);
  }

 private:
  ConfigValue value(const toml::node& node, const std::string& key) const {
    if (auto single = scalar(node)) return *std::move(single);
    const auto refuse = [&](const toml::node& found) {
      const auto begin = found.source().begin;
      throw FormatError(place(file_, begin.line, begin.column), fmt::format("text, a number, true, false or a list of these for {}", excerpt(key)),
                        fmt::format("{}", name_of(found.type())));
    };
    std::vector<std::string> list;
    if (!node.is_array()) refuse(node);
    for (const toml::node& element : *node.as_array()) {
      const auto item = scalar(element);
      if (!item) refuse(element);
      list.push_back(to_text(*item));
    }
    return list;
  }

  static std::string_view name_of(toml::node_type type) {
    if (type == toml::node_type::array) return "a list";
    return type == toml::node_type::table ? "a table" : "a date or time";
  }

  std::string_view file_;
  std::vector<TomlEntry> entries_;
};

std::string where_of(std::string_view file, const TomlEntry& entry) { return fmt::format("{} at {}, {}", file, entry.line, excerpt(entry.key)); }

bool accepts(const Field& field, const ConfigValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  return field.accept(value) || (text != nullptr && *text == "none" && field.accept(std::monostate{}));
}

}  // namespace

std::vector<TomlEntry> parse_toml(std::string_view text, std::string_view file_name) {
  if (std::cmp_greater(text.size(), kMaxTomlBytes)) {
    throw FormatError({.file = std::string(file_name)}, fmt::format("at most {} bytes", kMaxTomlBytes), fmt::format("{}", text.size()));
  }
  check_key_depth(text, file_name);
  Flattener flattener(file_name);
  try {
    flattener.add("", toml::parse(text));
  } catch (const toml::parse_error& error) {
    const auto begin = error.source().begin;
    throw FormatError(place(file_name, begin.line, begin.column), "valid TOML", excerpt(error.description(), 160));
  } catch (const BrokenPrecondition&) {
    throw FormatError(place_of_bad_header(text, file_name), "valid TOML", "a key that begins with a character no key begins with");
  }
  return flattener.take();
}

std::vector<TomlEntry> apply_toml(const Fields& fields, std::string_view text, std::string_view file_name,
                                  std::span<const std::string_view> open_sections) {
  std::vector<TomlEntry> unknown;
  for (TomlEntry& entry : parse_toml(text, file_name)) {
    const Field* field = fields.find(entry.key);
    const std::string where = where_of(file_name, entry);
    if (field != nullptr) {
      require(accepts(*field, entry.value), [&] { return Complaint{.where = where, .expected = field->type, .got = excerpt(to_text(entry.value))}; });
      continue;
    }
    const bool is_open = std::any_of(open_sections.begin(), open_sections.end(), [&](std::string_view section) {
      return entry.key.starts_with(section) && entry.key.substr(section.size()).starts_with('.');
    });
    require(is_open, [&] {
      const std::string near = fields.nearest(entry.key);
      return Complaint{.where = where, .expected = "a known key", .hint = near.empty() ? "" : fmt::format("did you mean {}?", near)};
    });
    unknown.push_back(std::move(entry));
  }
  return unknown;
}

std::vector<TomlEntry> apply_toml_file(const Fields& fields, const std::filesystem::path& path, std::span<const std::string_view> open_sections) {
  return apply_toml(fields, read_text_file(path, kMaxTomlBytes), path.string(), open_sections);
}

}  // namespace everlong::io
