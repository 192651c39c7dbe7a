#pragma once
// What the readers built on the JSON event parser share: where the parser is in the text, and how its complaints read.
// For sources of this room only: it includes the whole JSON library.

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace everlong::io {

/// A JSON text under the parser.
struct JsonText {
  std::string_view text;
  std::string file;
  int64_t base = 0;     ///< offset of `text` in the file
  size_t consumed = 0;  ///< bytes the parser has taken

  /// Offset in the file of the opening quote of the string that the parser has just finished.
  [[nodiscard]] int64_t offset_of_last_string() const;

  /// Throws FormatError for a complaint of the parser about the byte at `position`, counted from 1; `field` says inside what.
  [[noreturn]] void refuse_syntax(size_t position, std::string_view complaint, const std::string& field) const;
};

/// Walks a JsonText and notes how far it has come.
class JsonTextIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  JsonTextIterator(JsonText& text, size_t position) : text_(&text), position_(position) {}
  reference operator*() const { return text_->text[position_]; }
  JsonTextIterator& operator++() {
    text_->consumed = ++position_;
    return *this;
  }
  JsonTextIterator operator++(int) {
    const JsonTextIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const JsonTextIterator& other) const { return position_ == other.position_; }

 private:
  JsonText* text_;
  size_t position_;
};

/// Sends the events of the one value in `text` to `handler`, which refuses by throwing.
template <class Handler>
void parse_json_events(JsonText& text, Handler& handler) {
  nlohmann::json::sax_parse(JsonTextIterator(text, 0), JsonTextIterator(text, text.text.size()), &handler);
}

}  // namespace everlong::io
