#include "everlong/text/unicode.h"

#include <cstdlib>
#include <memory>
#include <new>

#include <utf8proc.h>

#include "everlong/text/utf8.h"

namespace everlong::text {
namespace {

bool is_white_space(char32_t value) {
  if (value <= 0x20) return value == 0x20 || (value >= 0x09 && value <= 0x0D);
  if (value == 0x85 || value == 0xA0 || value == 0x1680) return true;
  return (value >= 0x2000 && value <= 0x200A) || value == 0x2028 || value == 0x2029 || value == 0x202F || value == 0x205F || value == 0x3000;
}

utf8proc_option_t options_of(NormalForm form) {
  int options = UTF8PROC_STABLE;
  options |= form == NormalForm::nfc || form == NormalForm::nfkc ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == NormalForm::nfkc || form == NormalForm::nfkd) options |= UTF8PROC_COMPAT;
  return static_cast<utf8proc_option_t>(options);
}

void append_normalized(std::string_view valid, utf8proc_option_t options, std::string& out) {
  if (valid.empty()) return;
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(valid.data()), static_cast<utf8proc_ssize_t>(valid.size()), &mapped, options);
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  if (size < 0) throw std::bad_alloc();
  out.append(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
}

}  // namespace

CharClass char_class(char32_t value) {
  if (is_white_space(value)) return CharClass::space;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(value))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return CharClass::letter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return CharClass::number;
    default:
      return CharClass::other;
  }
}

bool is_word_char(char32_t value) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(value))) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
      return true;
    default:
      return char_class(value) == CharClass::letter || value == 0x200C || value == 0x200D;
  }
}

std::string normalize_unicode(std::string_view text, NormalForm form) {
  std::string out;
  out.reserve(text.size());
  const utf8proc_option_t options = options_of(form);
  size_t begin = 0;
  size_t marks = 0;
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = code_point_at(text, i);
    // utf8proc orders combining marks by insertion, which is quadratic in the length of a run.
    marks = point.value >= 0x300 && point.valid && utf8proc_get_property(static_cast<utf8proc_int32_t>(point.value))->combining_class != 0 ? marks + 1
                                                                                                                                           : 0;
    if (!point.valid || marks > kMaxMarks) {
      append_normalized(text.substr(begin, i - begin), options, out);
      if (!point.valid) out += text[i];
      begin = point.valid ? i : i + 1;
      marks = 0;
    }
    i += point.size_bytes;
  }
  append_normalized(text.substr(begin), options, out);
  return out;
}

}  // namespace everlong::text
