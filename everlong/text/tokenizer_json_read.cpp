#include <algorithm>
#include <array>
#include <unordered_map>

#include <fmt/format.h>

#include "everlong/io/excerpt.h"
#include "everlong/io/json.h"
#include "everlong/text/json_node.h"
#include "everlong/text/special_roles.h"
#include "everlong/text/string_table.h"
#include "everlong/text/tokenizer_json.h"
#include "everlong/text/tokenizer_json_steps.h"

namespace everlong::text {
namespace {

constexpr size_t kMaxAddedBytes = size_t{1} << 20;

/// Ids may leave gaps, but tables are as long as the largest id.
int64_t max_id(size_t tokens) { return static_cast<int64_t>(8 * tokens + 65536); }

void read_vocabulary(const JsonNode& node, size_t added_count, BpeDefinition& definition, SpellingIds& ids) {
  if (!node.json().is_object() || node.json().empty()) node.refuse("an object of tokens and ids", "none");
  const int64_t limit = max_id(node.json().size() + added_count);
  for (const auto& item : node.json().items()) {
    const auto* number = item.value().get_ptr<const nlohmann::json::number_unsigned_t*>();
    if (!number || *number > static_cast<uint64_t>(limit)) {
      node.refuse(fmt::format("ids from 0 to {}", limit), fmt::format("{} for '{}'", io::excerpt(item.value().dump()), io::excerpt(item.key())));
    }
    definition.vocabulary.push_back({item.key(), static_cast<int32_t>(*number)});
    ids.add(item.key(), static_cast<int32_t>(*number));
  }
  auto& vocabulary = definition.vocabulary;
  std::sort(vocabulary.begin(), vocabulary.end(), [](const VocabularyEntry& a, const VocabularyEntry& b) { return a.id < b.id; });
  const auto twice = std::adjacent_find(vocabulary.begin(), vocabulary.end(), [](const auto& a, const auto& b) { return a.id == b.id; });
  if (twice != vocabulary.end()) node.refuse("every id once", fmt::format("{} for '{}' and another token", twice->id, io::excerpt(twice->spelling)));
}

std::pair<std::string, std::string> merge_parts(const nlohmann::json& value, const JsonNode& node, size_t rank) {
  if (value.is_array() && value.size() == 2 && value[0].is_string() && value[1].is_string())
    return {value[0].get<std::string>(), value[1].get<std::string>()};
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) return {text.substr(0, space), text.substr(space + 1)};
  }
  node.refuse("\"left right\" or [\"left\", \"right\"]", fmt::format("{} at {}", io::excerpt(value.dump()), rank));
}

void read_merges(const JsonNode& node, const SpellingIds& ids, BpeDefinition& definition) {
  if (!node.json().is_array()) node.refuse("a list", "none");
  const auto& list = node.json();
  definition.merges.reserve(list.size());
  for (size_t rank = 0; rank < list.size(); ++rank) {
    const auto parts = merge_parts(list[rank], node, rank);
    const auto id_of = [&](const std::string& spelling) {
      const auto id = ids.find(spelling);
      if (!id) node.refuse("tokens of the vocabulary", fmt::format("'{}' at {}", io::excerpt(spelling), rank));
      return *id;
    };
    definition.merges.push_back({id_of(parts.first), id_of(parts.second), id_of(parts.first + parts.second)});
  }
}

void refuse_unless_empty(const JsonNode& model, const char* key) {
  const auto node = model.optional_member(key);
  if (node && !(node->json().is_string() && node->json().get_ref<const std::string&>().empty())) node->not_supported("null", "a text");
}

void read_model(const JsonNode& model, size_t added_count, BpeDefinition& definition, SpellingIds& ids) {
  if (const auto type = model.optional_member("type"); type && type->text() != "BPE")
    type->not_supported("a model of type BPE", fmt::format("'{}'", io::excerpt(type->text())));
  model.allow_only({"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges",
                    "vocab", "merges"});
  if (const auto dropout = model.optional_member("dropout"); dropout && dropout->json() != 0)
    dropout->not_supported("null", "a number", "dropout makes encodings random; set it to null");
  refuse_unless_empty(model, "continuing_subword_prefix");
  refuse_unless_empty(model, "end_of_word_suffix");
  definition.fuse_unk = model.boolean_or("fuse_unk", false);
  definition.byte_fallback = model.boolean_or("byte_fallback", false);
  definition.ignore_merges = model.boolean_or("ignore_merges", false);
  read_vocabulary(model.member("vocab"), added_count, definition, ids);
  read_merges(model.member("merges"), ids, definition);
  if (const auto unk = model.optional_member("unk_token")) {
    definition.unk_token = unk->text();
    if (!ids.find(*definition.unk_token)) unk->refuse("a token of the vocabulary", fmt::format("'{}'", io::excerpt(*definition.unk_token)));
  }
}

AddedToken read_added_token(const JsonNode& node, int64_t limit) {
  node.allow_only({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
  AddedToken token{.id = static_cast<int32_t>(node.member("id").integer(0, limit)),
                   .content = node.member("content").text(),
                   .special = node.boolean_or("special", false),
                   .single_word = node.boolean_or("single_word", false),
                   .lstrip = node.boolean_or("lstrip", false),
                   .rstrip = node.boolean_or("rstrip", false)};
  token.normalized = node.boolean_or("normalized", !token.special);
  if (token.content.empty()) node.refuse("a content that is not empty", "\"\"");
  return token;
}

void read_added_tokens(const std::vector<JsonNode>& nodes, BpeDefinition& definition, SpellingIds& ids) {
  std::unordered_map<int32_t, std::string_view> by_id;
  for (const VocabularyEntry& entry : definition.vocabulary) by_id.emplace(entry.id, entry.spelling);
  size_t bytes = 0;
  std::vector<int32_t> seen;
  for (const JsonNode& node : nodes) {
    AddedToken token = read_added_token(node, max_id(definition.vocabulary.size() + nodes.size()));
    bytes += token.content.size();
    if (bytes > kMaxAddedBytes) node.not_supported(fmt::format("at most {} bytes of added tokens", kMaxAddedBytes), "more");
    const auto known = ids.find(token.content);
    const auto holder = by_id.find(token.id);
    if (known ? *known != token.id : holder != by_id.end()) {
      node.refuse("an id and a content that belong together in the vocabulary", fmt::format("id {} for '{}'", token.id, io::excerpt(token.content)));
    }
    if (!known) ids.add(token.content, token.id);
    seen.push_back(token.id);
    definition.added_tokens.push_back(std::move(token));
    if (!known) by_id.emplace(seen.back(), "");
  }
  std::sort(seen.begin(), seen.end());
  const auto twice = std::adjacent_find(seen.begin(), seen.end());
  if (twice != seen.end()) nodes[0].refuse("every added token once", fmt::format("id {} twice", *twice));
  std::sort(definition.added_tokens.begin(), definition.added_tokens.end(), [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
}

void refuse_unless_null(const JsonNode& root, const char* key) {
  if (const auto node = root.optional_member(key))
    node->not_supported("null", "a setting", fmt::format("set {} to null; batches are cut and padded elsewhere", key));
}

void check_template(const JsonNode& root, const BpeDefinition& definition) {
  const auto exists = [&](int32_t id) {
    const auto has_id = [&](const auto& entry) { return entry.id == id; };
    return std::any_of(definition.vocabulary.begin(), definition.vocabulary.end(), has_id) ||
           std::any_of(definition.added_tokens.begin(), definition.added_tokens.end(), has_id);
  };
  for (const auto* list : {&definition.post_template->before, &definition.post_template->after}) {
    for (const int32_t id : *list) {
      if (!exists(id)) root.member("post_processor").refuse("ids of the vocabulary", std::to_string(id));
    }
  }
}

}  // namespace

BpeDefinition read_tokenizer_json(std::string_view text, std::string_view file_name, std::string_view config) {
  const io::Json json = io::parse_json(text, file_name);
  const JsonNode root(json, file_name);
  root.allow_only({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model"});
  if (const auto version = root.optional_member("version"); version && version->text() != "1.0")
    version->not_supported("1.0", io::excerpt(version->text()));
  refuse_unless_null(root, "truncation");
  refuse_unless_null(root, "padding");
  const auto added = root.optional_member("added_tokens");
  const std::vector<JsonNode> added_nodes = added ? added->elements() : std::vector<JsonNode>();

  BpeDefinition definition;
  SpellingIds ids;
  read_model(root.member("model"), added_nodes.size(), definition, ids);
  read_added_tokens(added_nodes, definition, ids);
  definition.normalizer = read_normalizer(root.optional_member("normalizer"));
  definition.pre_tokenizer = read_pre_tokenizer(root.optional_member("pre_tokenizer"));
  definition.decoder = read_decoder(root.member_or_null("decoder"));
  const bool byte_level = !definition.pre_tokenizer.empty() && definition.pre_tokenizer.back().kind == PreTokenizerStep::Kind::byte_level;
  if (byte_level && definition.byte_fallback) root.member("model").not_supported("byte_fallback without ByteLevel", "both");
  const int32_t last_id = std::max(definition.vocabulary.back().id, definition.added_tokens.empty() ? 0 : definition.added_tokens.back().id);
  definition.post_template = read_post_processor(root.optional_member("post_processor"), static_cast<size_t>(last_id) + 1);
  if (definition.post_template) check_template(root, definition);
  find_special_ids(
      config, [&](std::string_view spelling) { return ids.find(spelling); }, definition);
  return definition;
}

}  // namespace everlong::text
