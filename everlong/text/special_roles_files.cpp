// add_special_tokens: what the files beside vocab.json and merges.txt say.

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/json.h"
#include "everlong/text/json_node.h"
#include "everlong/text/special_roles.h"

namespace everlong::text {
namespace {

constexpr std::array<std::string_view, 7> kRoles = {"bos", "eos", "pad", "unk", "mask", "cls", "sep"};
constexpr std::array<std::string_view, 5> kRobertaFamily = {"Roberta", "Bart", "Longformer", "LED", "Mvp"};
constexpr size_t kMaxAddedTokens = 65536;

/// How a role is spelled where no file says it.
std::string_view usual_spelling(std::string_view role) {
  if (role == "bos" || role == "cls") return "<s>";
  if (role == "eos" || role == "sep") return "</s>";
  if (role == "pad") return "<pad>";
  return role == "unk" ? "<unk>" : "<mask>";
}

bool looks_special(std::string_view spelling) {
  return spelling.size() > 2 && ((spelling.front() == '<' && spelling.back() == '>') || (spelling.front() == '[' && spelling.back() == ']'));
}

io::Json parsed(const std::string& text, std::string_view name) { return text.empty() ? io::Json::object() : io::parse_json(text, name); }

/// One JSON file, kept together with the name that its nodes refer to.
struct File {
  File(const std::string& text, std::string_view file_name) : name(file_name), json(parsed(text, file_name)), root(json, name) {
    if (!json.is_object()) root.refuse("an object", json.type_name());
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  std::string_view name;
  io::Json json;
  JsonNode root;
};

class SpecialTokens {
 public:
  SpecialTokens(const SpecialTokenFiles& files, SpellingIds& ids, BpeDefinition& definition)
      : config_(files.config, "config.json"),
        tokenizer_config_(files.tokenizer_config, "tokenizer_config.json"),
        map_(files.special_tokens_map, "special_tokens_map.json"),
        added_(files.added_tokens, "added_tokens.json"),
        ids_(ids),
        definition_(definition) {
    for (const VocabularyEntry& entry : definition.vocabulary) spelling_by_id_.emplace(entry.id, entry.spelling);
  }

  void add() {
    read_added_tokens();
    read_added_tokens_decoder();
    for (const File* file : {&tokenizer_config_, &map_}) {
      if (const auto more = file->root.optional_member("additional_special_tokens")) {
        for (const JsonNode& node : more->elements()) name_special(node, false);
      }
    }
    for (const std::string_view role : kRoles) roles_[role] = find_role(role);
    for (const auto& [role, id] : roles_) {
      if (id) make_special(*id, role == "mask");
    }
    auto& tokens = definition_.added_tokens;
    std::sort(tokens.begin(), tokens.end(), [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
    definition_.special_ids = {.bos = roles_["bos"], .eos = roles_["eos"], .pad = roles_["pad"], .unk = roles_["unk"], .mask = roles_["mask"]};
    if (puts_template_around()) {
      definition_.post_template = TextTemplate{.before = {roles_["cls"] ? *roles_["cls"] : *roles_["bos"]},
                                               .after = {roles_["sep"] ? *roles_["sep"] : *roles_["eos"]},
                                               .pair_ends_twice = true};
    }
    definition_.pre_tokenizer.back().add_prefix_space = tokenizer_config_.root.boolean_or("add_prefix_space", false);
  }

 private:
  AddedToken* find_added(int32_t id) {
    const auto found =
        std::find_if(definition_.added_tokens.begin(), definition_.added_tokens.end(), [&](const auto& token) { return token.id == id; });
    return found == definition_.added_tokens.end() ? nullptr : &*found;
  }

  void make_special(int32_t id, bool is_mask) {
    if (AddedToken* token = find_added(id)) {
      token->special = true;
    } else {
      definition_.added_tokens.push_back({.id = id, .content = spelling_by_id_.at(id), .special = true, .lstrip = is_mask});
    }
  }

  /// Adds a token, or takes over its settings; `node` is for complaints.
  void put(AddedToken token, const JsonNode& node) {
    if (token.content.empty()) node.refuse("a spelling that is not empty", "\"\"");
    const auto known = ids_.find(token.content);
    if (known ? *known != token.id : spelling_by_id_.contains(token.id)) {
      node.refuse("an id and a spelling that belong together in the vocabulary", fmt::format("id {} for '{}'", token.id, io::excerpt(token.content)));
    }
    if (!known) {
      ids_.add(token.content, token.id);
      spelling_by_id_.emplace(token.id, token.content);
    }
    if (AddedToken* same = find_added(token.id)) {
      *same = std::move(token);
      return;
    }
    if (definition_.added_tokens.size() >= kMaxAddedTokens) node.refuse(fmt::format("at most {} added tokens", kMaxAddedTokens), "more");
    definition_.added_tokens.push_back(std::move(token));
  }

  int64_t max_id() const { return static_cast<int64_t>(definition_.vocabulary.size() + kMaxAddedTokens); }

  void read_added_tokens() {
    for (const auto& item : added_.json.items()) {
      const JsonNode node(item.value(), added_.name, io::excerpt(item.key()));
      put({.id = static_cast<int32_t>(node.integer(0, max_id())), .content = item.key(), .normalized = true}, node);
    }
  }

  void read_added_tokens_decoder() {
    const auto list = tokenizer_config_.root.optional_member("added_tokens_decoder");
    if (!list) return;
    if (!list->json().is_object()) list->refuse("an object of ids and tokens", list->json().type_name());
    for (const auto& item : list->json().items()) {
      const JsonNode node(item.value(), tokenizer_config_.name, fmt::format("added_tokens_decoder.{}", io::excerpt(item.key())));
      const std::string& key = item.key();
      int64_t id = -1;
      const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
      if (error != std::errc() || end != key.data() + key.size() || id < 0 || id > max_id()) {
        node.refuse(fmt::format("an id from 0 to {} as key", max_id()), fmt::format("'{}'", io::excerpt(key)));
      }
      AddedToken token = read_flags(node, node.member("content").text());
      token.id = static_cast<int32_t>(id);
      put(std::move(token), node);
    }
  }

  static AddedToken read_flags(const JsonNode& node, std::string content) {
    return {.content = std::move(content),
            .special = node.boolean_or("special", false),
            .single_word = node.boolean_or("single_word", false),
            .lstrip = node.boolean_or("lstrip", false),
            .rstrip = node.boolean_or("rstrip", false),
            .normalized = node.boolean_or("normalized", true)};
  }

  /// The id of a token that a file spells, which becomes special; an object brings its settings along.
  int32_t name_special(const JsonNode& node, bool is_mask) {
    const bool has_settings = node.json().is_object();
    std::string spelling = has_settings ? node.member("content").text() : node.text();
    const auto id = ids_.find(spelling);
    if (!id) node.refuse("a token of the vocabulary", fmt::format("'{}'", io::excerpt(spelling)));
    if (has_settings && !find_added(*id)) {
      AddedToken token = read_flags(node, std::move(spelling));
      token.id = *id;
      put(std::move(token), node);
    }
    make_special(*id, is_mask);
    return *id;
  }

  std::optional<int32_t> find_role(std::string_view role) {
    const std::string key = fmt::format("{}_token", role);
    for (const File* file : {&tokenizer_config_, &map_}) {
      if (const auto node = file->root.optional_member(key.c_str())) return name_special(*node, role == "mask");
      if (file->json.contains(key)) return std::nullopt;
    }
    const auto id = config_.json.find(key + "_id");
    if (id != config_.json.end() && id->is_number_unsigned() && id->get<uint64_t>() <= static_cast<uint64_t>(max_id())) {
      const auto spelling = spelling_by_id_.find(static_cast<int32_t>(id->get<uint64_t>()));
      if (spelling != spelling_by_id_.end() && looks_special(spelling->second)) return spelling->first;
    }
    if (const auto usual = ids_.find(usual_spelling(role))) return usual;
    const bool surrounds = role == "bos" || role == "eos";
    return surrounds ? ids_.find("<|endoftext|>") : std::nullopt;
  }

  bool puts_template_around() {
    const bool has_ends = (roles_["cls"] || roles_["bos"]) && (roles_["sep"] || roles_["eos"]);
    if (!has_ends) return false;
    for (const File* file : {&tokenizer_config_, &config_}) {
      const auto node = file->root.optional_member("tokenizer_class");
      if (!node) continue;
      const std::string name = node->text();
      return std::any_of(kRobertaFamily.begin(), kRobertaFamily.end(), [&](std::string_view family) { return name.starts_with(family); });
    }
    return ids_.find("<s>") && ids_.find("</s>");
  }

  File config_, tokenizer_config_, map_, added_;
  SpellingIds& ids_;
  BpeDefinition& definition_;
  std::map<int32_t, std::string> spelling_by_id_;
  std::map<std::string_view, std::optional<int32_t>> roles_;
};

}  // namespace

void add_special_tokens(const SpecialTokenFiles& files, SpellingIds& ids, BpeDefinition& definition) { SpecialTokens(files, ids, definition).add(); }

}  // namespace everlong::text
