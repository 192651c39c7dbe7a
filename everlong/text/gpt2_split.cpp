#include "everlong/text/gpt2_split.h"

#include <array>

#include "everlong/text/unicode.h"
#include "everlong/text/utf8.h"

namespace everlong::text {
namespace {

constexpr std::array<CharClass, 128> kAsciiClass = [] {
  std::array<CharClass, 128> table{};
  for (int c = 0; c < 128; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool space = c == ' ' || (c >= 0x09 && c <= 0x0D);
    table[static_cast<size_t>(c)] = letter                 ? CharClass::letter
                                    : c >= '0' && c <= '9' ? CharClass::number
                                    : space                ? CharClass::space
                                                           : CharClass::other;
  }
  return table;
}();

struct Classified {
  CharClass char_class;
  size_t size_bytes;
};

inline Classified classify(std::string_view text, size_t position) {
  const auto byte = static_cast<unsigned char>(text[position]);
  if (byte < 0x80) return {kAsciiClass[byte], 1};
  const CodePoint point = code_point_at(text, position);
  if (!point.valid) return {CharClass::other, 1};
  return {char_class(point.value), point.size_bytes};
}

/// Length of 's 't 're 've 'm 'll 'd after an apostrophe at `position`, with it; 0 if it is none of them.
size_t contraction_size(std::string_view text, size_t position) {
  const char first = position + 1 < text.size() ? text[position + 1] : '\0';
  const char second = position + 2 < text.size() ? text[position + 2] : '\0';
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l')) return 3;
  return 0;
}

/// Alternatives 5 and 6: all spaces at the end of the text; else all but the last, which goes with what follows; a single one alone.
size_t space_run_end(std::string_view text, size_t begin) {
  size_t last = begin;
  size_t end = begin;
  while (end < text.size()) {
    const Classified next = classify(text, end);
    if (next.char_class != CharClass::space) return last > begin ? last : end;
    last = end;
    end += next.size_bytes;
  }
  return end;
}

}  // namespace

size_t gpt2_word_end(std::string_view text, size_t begin) {
  if (text[begin] == '\'') {
    if (const size_t size = contraction_size(text, begin)) return begin + size;
  }
  Classified next = classify(text, begin);
  size_t position = begin;
  if (text[begin] == ' ') {
    if (begin + 1 == text.size()) return begin + 1;
    next = classify(text, ++position);
  }
  if (next.char_class == CharClass::space) return space_run_end(text, begin);
  const CharClass kind = next.char_class;
  do {
    position += next.size_bytes;
    if (position == text.size()) break;
    next = classify(text, position);
  } while (next.char_class == kind);
  return position;
}

}  // namespace everlong::text
