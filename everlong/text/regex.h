#pragma once
// Regular expressions of tokenizer files: compiled and run within limits, since both pattern and text come from outside.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace everlong::text {

/// Half-open range of bytes.
struct ByteRange {
  size_t begin = 0, end = 0;
};

/// A PCRE2 pattern in UTF mode with Unicode classes. Immutable; may be searched from several threads.
class Regex {
 public:
  /// Errors   FormatError naming `where` and `key` if the pattern does not compile or has more than 8,192 bytes
  Regex(const std::string& pattern, std::string_view where, std::string_view key);
  ~Regex();
  Regex(Regex&&) noexcept;

  /// First match that begins at or after `from`; bytes that are no UTF-8 match nothing.
  /// Errors   Unsupported if the pattern backtracks beyond the limit on this text
  [[nodiscard]] std::optional<ByteRange> find(std::string_view text, size_t from) const;

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace everlong::text
