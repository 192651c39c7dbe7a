#pragma once
// Text by lines and by whole documents, from plain, .gz and .zst files.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "everlong/io/byte_source.h"
#include "everlong/io/mapped_file.h"

namespace everlong::io {

inline constexpr int64_t kMaxLineBytes = int64_t{256} << 20;

/// Reads a text line by line, with memory for one line.
class LineReader {
 public:
  /// Errors   IoError if the file cannot be opened
  explicit LineReader(const std::filesystem::path& path, int64_t max_line_bytes = kMaxLineBytes);

  /// Reads from any source; `name` is for messages.
  LineReader(std::unique_ptr<ByteSource> source, std::string name, int64_t max_line_bytes = kMaxLineBytes);

  /// The next line without its line end ("\n" or "\r\n"), valid until the next call; absent at the end. A last line needs no line end.
  /// Errors   IoError; FormatError naming the line if it is longer than the limit, or naming the byte if compressed data is corrupt or cut off
  [[nodiscard]] std::optional<std::string_view> next();

  /// Number of the line that next() gave last, from 1.
  [[nodiscard]] int64_t line_number() const { return line_number_; }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  bool refill();

  std::unique_ptr<ByteSource> source_;
  std::string name_;
  size_t max_line_bytes_;
  std::string buffer_;
  size_t begin_ = 0;  ///< of the unread part of the buffer
  size_t end_ = 0;
  int64_t line_number_ = 0;
};

/// Reads a whole document, decompressed.
/// Errors   IoError; FormatError if it has more than `max_bytes` or compressed data is corrupt or cut off
[[nodiscard]] std::string read_document(const std::filesystem::path& path, int64_t max_bytes = kMaxTextBytes);

}  // namespace everlong::io
