#include "everlong/base/error.h"

#include <cstring>

#include <fmt/format.h>

namespace everlong {
namespace {

std::string sentence(std::string_view where, std::string_view expected, std::string_view got, std::string_view hint) {
  std::string text = fmt::format("[{}] expected {}", where, expected);
  if (!got.empty()) text += fmt::format(", got {}", got);
  text += '.';
  if (!hint.empty()) {
    text += fmt::format(" Hint: {}", hint);
    if (hint.back() != '.' && hint.back() != '?') text += '.';
  }
  return text;
}

std::string place_of(const FileLocation& location) {
  std::string text = location.file;
  if (location.offset >= 0) text += fmt::format(" at {}", location.offset);
  if (!location.field.empty()) text += fmt::format(", {}", location.field);
  return text;
}

std::string system_sentence(std::string_view action, std::string_view path, int error_number, std::string_view hint) {
  std::string text = fmt::format("[{}] cannot {}: {}.", path, action, std::strerror(error_number));
  if (!hint.empty()) text += fmt::format(" Hint: {}.", hint);
  return text;
}

}  // namespace

std::string to_string(const Complaint& complaint) { return sentence(complaint.where.name, complaint.expected, complaint.got, complaint.hint); }

FormatError::FormatError(const FileLocation& location, std::string_view expected, std::string_view got, std::string_view hint)
    : Error(sentence(place_of(location), expected, got, hint)), location_(location) {}

IoError::IoError(std::string_view action, std::string_view path, int error_number, std::string_view hint)
    : Error(system_sentence(action, path, error_number, hint)) {}

}  // namespace everlong
