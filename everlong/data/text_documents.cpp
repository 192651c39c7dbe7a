#include "everlong/data/text_documents.h"

#include <string>
#include <utility>

#include <fmt/format.h>

#include "everlong/io/jsonl.h"
#include "everlong/io/lines.h"

namespace everlong::data {
namespace {

void for_each_separated(const std::filesystem::path& path, const ReadOptions& options, const std::function<void(std::string_view)>& action) {
  io::LineReader lines(path, options.max_document_bytes);
  std::string document;
  bool has_lines = false;
  while (const auto line = lines.next()) {
    if (*line == *options.document_separator) {
      action(document);
      document.clear();
      has_lines = false;
      continue;
    }
    if (has_lines) document += '\n';
    document += *line;
    has_lines = true;
    if (std::cmp_greater(document.size(), options.max_document_bytes)) {
      throw FormatError({path.string(), lines.line_number(), "document"}, fmt::format("at most {} bytes", options.max_document_bytes), "more");
    }
  }
  if (has_lines) action(document);
}

}  // namespace

std::optional<TextFileKind> text_file_kind(const std::filesystem::path& path) {
  std::filesystem::path name = path.filename();
  if (name.extension() == ".gz" || name.extension() == ".zst") name = name.stem();
  if (name.extension() == ".txt") return TextFileKind::txt;
  if (name.extension() == ".jsonl") return TextFileKind::jsonl;
  return std::nullopt;
}

Complaint not_a_text_file(const std::filesystem::path& path) {
  return {.where = "data", .expected = "a text file: .txt or .jsonl, also with .gz or .zst after it", .got = path.string()};
}

text::EncodeOptions encode_options(const ReadOptions& options) {
  return {.add_special = options.add_special, .parse_special = options.parse_special};
}

void for_each_document(const std::filesystem::path& path, const ReadOptions& options, const std::function<void(std::string_view)>& action) {
  const auto kind = text_file_kind(path);
  require(kind.has_value(), [&] { return not_a_text_file(path); });
  if (kind == TextFileKind::jsonl) {
    io::JsonlOptions jsonl;
    jsonl.max_line_bytes = options.max_document_bytes;
    io::JsonlReader documents(path, std::move(jsonl));
    while (const auto text = documents.next()) action(*text);
  } else if (options.document_separator) {
    for_each_separated(path, options, action);
  } else {
    action(io::read_document(path, options.max_document_bytes));
  }
}

}  // namespace everlong::data
