#pragma once
// Corpora with one JSON object a line.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/io/byte_source.h"
#include "everlong/io/lines.h"

namespace everlong::io {

struct JsonlOptions {
  std::vector<std::string> text_keys = {"text", "content"};  ///< the first of these that a line has holds its document
  int64_t max_line_bytes = kMaxLineBytes;
};

/// Reads the documents of a JSONL file, plain, .gz or .zst. Blank lines are skipped.
class JsonlReader {
 public:
  /// Errors   IoError if the file cannot be opened; InvalidArgument if there are no text keys
  explicit JsonlReader(const std::filesystem::path& path, JsonlOptions options = {});

  /// Reads from any source; `name` is for messages.
  JsonlReader(std::unique_ptr<ByteSource> source, std::string name, JsonlOptions options = {});
  JsonlReader(JsonlReader&&) noexcept;
  ~JsonlReader();

  /// The text of the next document, valid until the next call; absent at the end.
  /// Errors   FormatError naming file and line if the line is no JSON object in UTF-8, has none of the keys, has that key twice, or its value is no
  /// text;
  ///          as LineReader::next otherwise
  [[nodiscard]] std::optional<std::string_view> next();

  /// Number of the line that the last document came from, from 1.
  [[nodiscard]] int64_t line_number() const;

 private:
  struct Parser;
  std::string_view text_of(std::string_view line);

  LineReader lines_;
  JsonlOptions options_;
  std::unique_ptr<Parser> parser_;
};

}  // namespace everlong::io
