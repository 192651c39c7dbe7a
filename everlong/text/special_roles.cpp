#include "everlong/text/special_roles.h"

#include <algorithm>
#include <initializer_list>

#include <fmt/format.h>

#include "everlong/io/excerpt.h"
#include "everlong/io/json.h"
#include "everlong/text/json_node.h"

namespace everlong::text {
namespace {

constexpr std::string_view kConfigName = "tokenizer_config.json";

std::optional<int32_t> well_known(const BpeDefinition& definition, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    for (const AddedToken& token : definition.added_tokens) {
      if (token.special && token.content == name) return token.id;
    }
  }
  return std::nullopt;
}

}  // namespace

void find_special_ids(std::string_view config, const std::function<std::optional<int32_t>(std::string_view)>& id_of, BpeDefinition& definition) {
  const io::Json json = config.empty() ? io::Json::object() : io::parse_json(config, kConfigName);
  const JsonNode root(json, kConfigName);
  const auto named = [&](const char* key, std::optional<int32_t> otherwise) -> std::optional<int32_t> {
    const auto node = root.optional_member(key);
    if (!node) return json.contains(key) ? std::nullopt : otherwise;
    const std::string spelling = node->json().is_object() ? node->member("content").text() : node->text();
    const auto id = id_of(spelling);
    if (!id) node->refuse("a token of the vocabulary", fmt::format("'{}'", io::excerpt(spelling)));
    return id;
  };
  const TextTemplate around = definition.post_template.value_or(TextTemplate{});
  std::optional<int32_t> bos = well_known(definition, {"<s>", "<|begin_of_text|>", "<bos>", "<|endoftext|>"});
  std::optional<int32_t> eos = well_known(definition, {"</s>", "<|end_of_text|>", "<eos>", "<|endoftext|>"});
  if (!around.before.empty()) bos = around.before.front();
  if (!around.after.empty()) eos = around.after.back();
  SpecialIds& ids = definition.special_ids;
  ids.bos = named("bos_token", bos);
  ids.eos = named("eos_token", eos);
  ids.pad = named("pad_token", well_known(definition, {"<pad>", "[PAD]", "<|pad|>", "<|padding|>"}));
  ids.unk = named("unk_token", definition.unk_token ? id_of(*definition.unk_token) : well_known(definition, {"<unk>", "[UNK]"}));
  ids.mask = named("mask_token", well_known(definition, {"<mask>", "[MASK]"}));
}

}  // namespace everlong::text
