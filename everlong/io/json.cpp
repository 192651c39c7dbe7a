#include "everlong/io/json.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/io/atomic_file.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/json_events.h"

namespace everlong::io {
namespace {

/// Builds the value from the parser's events.
class TreeBuilder {
 public:
  TreeBuilder(JsonText& text, int64_t max_depth) : text_(text), max_depth_(max_depth) {}

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(int64_t value) { return add(value); }
  bool number_unsigned(uint64_t value) { return add(value); }
  bool number_float(double value, const std::string&) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(Json::binary_t&) { return false; }
  bool start_object(size_t) { return open(Json::object()); }
  bool start_array(size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    Level& level = open_.back();
    const auto [member, fresh] = level.node->get_ref<Json::object_t&>().emplace(std::move(name), nullptr);
    level.member = &*member;
    if (!fresh) throw FormatError({text_.file, text_.offset_of_last_string(), path()}, "each key once", "a duplicate");
    return true;
  }

  bool parse_error(size_t position, const std::string&, const Json::exception& error) { text_.refuse_syntax(position, error.what(), path()); }

  [[nodiscard]] Json take() { return std::move(root_); }

 private:
  struct Level {
    Json* node;
    Json::object_t::value_type* member = nullptr;  ///< the one whose value comes next, in an object
  };

  Json* place(Json&& value) {
    if (open_.empty()) return &(root_ = std::move(value));
    Level& level = open_.back();
    if (level.node->is_object()) return &(level.member->second = std::move(value));
    // Only the last element of an array is ever open, so that growing the array moves no open value.
    return &level.node->get_ref<Json::array_t&>().emplace_back(std::move(value));
  }

  bool add(Json value) {
    place(std::move(value));
    return true;
  }

  bool open(Json value) {
    if (std::cmp_greater_equal(open_.size(), max_depth_)) {
      throw FormatError({text_.file, text_.base + static_cast<int64_t>(text_.consumed) - 1, path()}, fmt::format("nesting of at most {}", max_depth_),
                        "deeper");
    }
    open_.push_back({place(std::move(value))});
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  std::string path() const {
    std::string path;
    for (const Level& level : open_) {
      if (level.node->is_array()) path += fmt::format("[{}]", level.node->size());
      if (level.member != nullptr) path += (path.empty() ? "" : ".") + excerpt(level.member->first);
      if (path.size() > 200) return path + "...";
    }
    return path;
  }

  JsonText& text_;
  int64_t max_depth_;
  Json root_;
  std::vector<Level> open_;
};

template <class Value>
void write_indented(const std::filesystem::path& path, const Value& value) {
  std::string text;
  try {
    text = value.dump(2) + '\n';
  } catch (const Json::exception&) {
    throw InvalidArgument({.where = path.native(), .expected = "UTF-8 in every text"});
  }
  atomic_write_text(path, text);
}

}  // namespace

int64_t JsonText::offset_of_last_string() const {
  const auto is_escaped = [&](size_t quote) {
    size_t slashes = 0;
    while (slashes < quote && text[quote - 1 - slashes] == '\\') ++slashes;
    return slashes % 2 == 1;
  };
  size_t at = consumed < 2 ? 0 : consumed - 2;
  while (at > 0 && (text[at] != '"' || is_escaped(at))) --at;
  return base + static_cast<int64_t>(at);
}

void JsonText::refuse_syntax(size_t position, std::string_view complaint, const std::string& field) const {
  // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while parsing value - invalid literal; last read: 'x'"
  for (const std::string_view before : {"] ", ": ", " - "}) {
    const size_t found = complaint.find(before);
    if (found != std::string_view::npos) complaint.remove_prefix(found + before.size());
  }
  const size_t offset = std::min(position == 0 ? 0 : position - 1, text.size());
  throw FormatError({file, base + static_cast<int64_t>(offset), field}, "valid JSON", excerpt(complaint, 160));
}

Json parse_json(std::string_view text, std::string_view file_name, const JsonLimits& limits) {
  JsonText source{.text = text, .file = std::string(file_name)};
  if (std::cmp_greater(text.size(), limits.max_bytes)) {
    throw FormatError({.file = source.file}, fmt::format("at most {} bytes", limits.max_bytes), fmt::format("{}", text.size()));
  }
  TreeBuilder builder(source, limits.max_depth);
  parse_json_events(source, builder);
  return builder.take();
}

Json read_json_file(const std::filesystem::path& path, const JsonLimits& limits) {
  return parse_json(read_text_file(path, limits.max_bytes), path.string(), limits);
}

void write_json(const std::filesystem::path& path, const Json& value) { write_indented(path, value); }
void write_json(const std::filesystem::path& path, const OrderedJson& value) { write_indented(path, value); }

}  // namespace everlong::io
