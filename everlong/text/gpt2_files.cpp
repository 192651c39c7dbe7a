#include "everlong/text/gpt2_files.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <simdjson.h>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/json.h"
#include "everlong/text/json_node.h"
#include "everlong/text/string_table.h"

namespace everlong::text {
namespace {

/// The entries in the order of the file, read at a pass. Nothing where that takes more than a flat object of unsigned numbers: then the thorough
/// reader has to say what is wrong, if anything is.
std::optional<std::vector<VocabularyEntry>> read_flat_object(std::string_view text) {
  constexpr std::string_view kSurrogate = "\\ud";  // the two readers differ in what they make of half a pair
  if (std::cmp_greater(text.size(), io::JsonLimits{}.max_bytes) || text.find(kSurrogate) != std::string_view::npos) return std::nullopt;
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(text.data(), text.size()).get(object) != simdjson::SUCCESS) return std::nullopt;
  std::vector<VocabularyEntry> entries;
  entries.reserve(object.size());
  for (const auto& member : object) {
    uint64_t id = 0;
    if (member.value.get(id) != simdjson::SUCCESS || id > INT32_MAX) return std::nullopt;
    entries.push_back({std::string(member.key), static_cast<int32_t>(id)});
  }
  return entries;
}

/// As read_vocabulary(), for files without any fault; false, and nothing changed, for all others.
bool read_sound_vocabulary(std::string_view text, BpeDefinition& definition, SpellingIds& ids) {
  auto entries = read_flat_object(text);
  if (!entries || entries->empty()) return false;
  std::vector<VocabularyEntry> in_order(entries->size());
  SpellingIds found;
  found.reserve(entries->size(), text.size());
  for (VocabularyEntry& entry : *entries) {
    const auto place = static_cast<size_t>(entry.id);
    if (place >= in_order.size() || !found.add(entry.spelling, entry.id)) return false;
    in_order[place] = std::move(entry);
  }
  for (size_t i = 0; i < in_order.size(); ++i)
    if (in_order[i].id != static_cast<int32_t>(i)) return false;
  if (found.find(in_order[0].spelling) != 0) return false;  // id 0 is also what an empty place says
  definition.vocabulary = std::move(in_order);
  ids = std::move(found);
  return true;
}

void read_vocabulary(std::string_view text, std::string_view name, BpeDefinition& definition, SpellingIds& ids) {
  if (read_sound_vocabulary(text, definition, ids)) return;
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

/// `joined` is memory to reuse.
BpeMerge read_merge(std::string_view line, const FileLocation& location, const SpellingIds& ids, std::string& joined) {
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
  joined.assign(left).append(right);
  return {id_of(left), id_of(right), id_of(joined)};
}

}  // namespace

BpeDefinition read_gpt2_files(const Gpt2Files& files) {
  BpeDefinition definition = byte_level_definition();
  SpellingIds ids;
  read_vocabulary(files.vocabulary, files.vocabulary_name, definition, ids);
  definition.merges.reserve(definition.vocabulary.size());
  FileLocation location{.file = files.merges_name, .offset = 0};
  std::string_view merges = files.merges;
  std::string joined;
  while (!merges.empty()) {
    const size_t line_end = std::min(merges.find('\n'), merges.size());
    std::string_view line = merges.substr(0, line_end);
    merges.remove_prefix(std::min(line_end + 1, merges.size()));
    ++location.offset;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (location.offset == 1 && line.starts_with("#version"))) continue;
    definition.merges.push_back(read_merge(line, location, ids, joined));
  }
  add_special_tokens(files.beside, ids, definition);
  return definition;
}

}  // namespace everlong::text
