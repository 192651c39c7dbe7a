#include "everlong/text/gpt2_files.h"

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/json.h"
#include "everlong/text/json_node.h"
#include "everlong/text/special_roles.h"

namespace everlong::text {
namespace {

constexpr std::string_view kEndOfText = "<|endoftext|>";

}  // namespace

BpeDefinition read_gpt2_files(std::string_view vocabulary, std::string_view vocabulary_name, std::string_view merges, std::string_view merges_name) {
  BpeDefinition definition = byte_level_definition();
  const io::Json json = io::parse_json(vocabulary, vocabulary_name);
  const JsonNode root(json, vocabulary_name);
  if (!json.is_object() || json.empty()) root.refuse("an object of tokens and ids", "none");
  std::unordered_map<std::string, int32_t> ids;
  for (const auto& item : json.items()) {
    const JsonNode node(item.value(), vocabulary_name, io::excerpt(item.key()));
    const auto id = static_cast<int32_t>(node.integer(0, static_cast<int64_t>(json.size()) - 1));
    definition.vocabulary.push_back({item.key(), id});
    ids.emplace(item.key(), id);
  }
  auto& entries = definition.vocabulary;
  std::sort(entries.begin(), entries.end(), [](const VocabularyEntry& a, const VocabularyEntry& b) { return a.id < b.id; });
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].id != static_cast<int32_t>(i)) root.refuse("every id once", fmt::format("{} twice", entries[i].id));
  }
  int64_t line_number = 0;
  while (!merges.empty()) {
    const size_t line_end = std::min(merges.find('\n'), merges.size());
    std::string_view line = merges.substr(0, line_end);
    merges.remove_prefix(std::min(line_end + 1, merges.size()));
    ++line_number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (line_number == 1 && line.starts_with("#version"))) continue;
    const FileLocation location{.file = std::string(merges_name), .offset = line_number};
    const size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos)
      throw FormatError(location, "a line 'left right'", io::excerpt(line));
    const auto id_of = [&](const std::string& spelling) {
      const auto found = ids.find(spelling);
      if (found == ids.end()) throw FormatError(location, fmt::format("tokens of {}", vocabulary_name), fmt::format("'{}'", io::excerpt(spelling)));
      return found->second;
    };
    const std::string left(line.substr(0, space));
    const std::string right(line.substr(space + 1));
    definition.merges.push_back({id_of(left), id_of(right), id_of(left + right)});
  }
  const auto find = [&](std::string_view spelling) {
    const auto found = ids.find(std::string(spelling));
    return found == ids.end() ? std::nullopt : std::optional(found->second);
  };
  if (const auto id = find(kEndOfText)) definition.added_tokens.push_back({.id = *id, .content = std::string(kEndOfText), .special = true});
  find_special_ids("", find, definition);
  return definition;
}

}  // namespace everlong::text
