#include "everlong/text/gpt2_files.h"

#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/json.h"
#include "everlong/text/json_node.h"
#include "everlong/text/string_table.h"

namespace everlong::text {
namespace {

void read_vocabulary(std::string_view text, std::string_view name, BpeDefinition& definition, SpellingIds& ids) {
  const io::Json json = io::parse_json(text, name);
  const JsonNode root(json, name);
  if (!json.is_object() || json.empty()) root.refuse("an object of tokens and ids", "none");
  auto& entries = definition.vocabulary;
  for (const auto& item : json.items()) {
    const auto* id = item.value().get_ptr<const io::Json::number_unsigned_t*>();
    if (!id || *id >= json.size()) {
      JsonNode(item.value(), name, io::excerpt(item.key()))
          .refuse(fmt::format("an integer from 0 to {}", json.size() - 1), io::excerpt(item.value().dump()));
    }
    entries.push_back({item.key(), static_cast<int32_t>(*id)});
    ids.add(item.key(), entries.back().id);
  }
  std::sort(entries.begin(), entries.end(), [](const VocabularyEntry& a, const VocabularyEntry& b) { return a.id < b.id; });
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].id != static_cast<int32_t>(i)) root.refuse("every id once", fmt::format("{} twice", entries[i].id));
  }
}

BpeMerge read_merge(std::string_view line, const FileLocation& location, const SpellingIds& ids) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
    throw FormatError(location, "a line 'left right'", io::excerpt(line));
  }
  const auto id_of = [&](std::string_view spelling) {
    const auto id = ids.find(spelling);
    if (!id) throw FormatError(location, "tokens of the vocabulary", fmt::format("'{}'", io::excerpt(spelling)));
    return *id;
  };
  const std::string_view left = line.substr(0, space);
  const std::string_view right = line.substr(space + 1);
  return {id_of(left), id_of(right), id_of(std::string(left).append(right))};
}

}  // namespace

BpeDefinition read_gpt2_files(const Gpt2Files& files) {
  BpeDefinition definition = byte_level_definition();
  SpellingIds ids;
  read_vocabulary(files.vocabulary, files.vocabulary_name, definition, ids);
  FileLocation location{.file = files.merges_name, .offset = 0};
  std::string_view merges = files.merges;
  while (!merges.empty()) {
    const size_t line_end = std::min(merges.find('\n'), merges.size());
    std::string_view line = merges.substr(0, line_end);
    merges.remove_prefix(std::min(line_end + 1, merges.size()));
    ++location.offset;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (location.offset == 1 && line.starts_with("#version"))) continue;
    definition.merges.push_back(read_merge(line, location, ids));
  }
  add_special_tokens(files.beside, ids, definition);
  return definition;
}

}  // namespace everlong::text
