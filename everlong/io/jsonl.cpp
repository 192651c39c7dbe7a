#include "everlong/io/jsonl.h"

#include <algorithm>
#include <utility>

#include <simdjson.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"

namespace everlong::io {

struct JsonlReader::Parser {
  simdjson::dom::parser parser;
};

JsonlReader::JsonlReader(const std::filesystem::path& path, JsonlOptions options)
    : JsonlReader(open_bytes(path), path.string(), std::move(options)) {}

JsonlReader::JsonlReader(std::unique_ptr<ByteSource> source, std::string name, JsonlOptions options)
    : lines_(std::move(source), std::move(name), options.max_line_bytes), options_(std::move(options)), parser_(std::make_unique<Parser>()) {
  require(!options_.text_keys.empty(), [&] { return Complaint{.where = "jsonl", .expected = "at least one key that holds the text"}; });
}

JsonlReader::JsonlReader(JsonlReader&&) noexcept = default;
JsonlReader::~JsonlReader() = default;

int64_t JsonlReader::line_number() const { return lines_.line_number(); }

std::optional<std::string_view> JsonlReader::next() {
  while (auto line = lines_.next()) {
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
    if (lines_.line_number() == 1 && line->starts_with(kByteOrderMark)) line->remove_prefix(kByteOrderMark.size());
    if (line->find_first_not_of(" \t") == std::string_view::npos) continue;
    return text_of(*line);
  }
  return std::nullopt;
}

std::string_view JsonlReader::text_of(std::string_view line) {
  const auto refuse = [&](std::string_view expected, std::string_view got, std::string_view field = {}) {
    throw FormatError({lines_.name(), lines_.line_number(), std::string(field)}, expected, got);
  };
  simdjson::dom::element document;
  if (const auto error = parser_->parser.parse(line.data(), line.size()).get(document)) {
    if (error == simdjson::UTF8_ERROR) refuse("valid UTF-8", "other bytes");
    refuse("valid JSON", excerpt(simdjson::error_message(error), 160));
  }
  simdjson::dom::object object;
  if (document.get(object) != simdjson::SUCCESS) refuse("a JSON object", excerpt(line, 20));
  simdjson::dom::element found;
  size_t best = options_.text_keys.size();
  for (const auto& member : object) {
    const auto key = std::find(options_.text_keys.begin(), options_.text_keys.end(), member.key);
    const auto rank = static_cast<size_t>(key - options_.text_keys.begin());
    if (rank == options_.text_keys.size() || rank > best) continue;
    if (rank == best) refuse("each key once", "a duplicate", *key);
    best = rank;
    found = member.value;
  }
  if (best == options_.text_keys.size()) refuse(fmt::format("one of the keys {}", fmt::join(options_.text_keys, ", ")), "none");
  std::string_view text;
  if (found.get(text) != simdjson::SUCCESS) refuse("text", excerpt(simdjson::minify(found), 20), options_.text_keys[best]);
  return text;
}

}  // namespace everlong::io
