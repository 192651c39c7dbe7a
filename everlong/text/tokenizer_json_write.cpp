#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/io/atomic_file.h"
#include "everlong/text/string_table.h"
#include "everlong/text/tokenizer_json.h"
#include "everlong/text/tokenizer_json_names.h"

namespace everlong::text {
namespace {

using Json = nlohmann::ordered_json;

Json pattern_json(const TextPattern& pattern) { return Json{{pattern.is_regex ? "Regex" : "String", pattern.text}}; }

Json step_json(const NormalizerStep& step) {
  switch (step.kind) {
    case NormalizerStep::Kind::prepend:
      return {{"type", "Prepend"}, {"prepend", step.content}};
    case NormalizerStep::Kind::replace:
      return {{"type", "Replace"}, {"pattern", pattern_json(step.pattern)}, {"content", step.content}};
    case NormalizerStep::Kind::unicode:
      return {{"type", name_of(kNormalForms, step.form)}};
    case NormalizerStep::Kind::strip:
      return {{"type", "Strip"}, {"strip_left", step.left}, {"strip_right", step.right}};
  }
  return nullptr;
}

Json step_json(const PreTokenizerStep& step) {
  switch (step.kind) {
    case PreTokenizerStep::Kind::byte_level:
      return {{"type", "ByteLevel"}, {"add_prefix_space", step.add_prefix_space}, {"trim_offsets", true}, {"use_regex", step.use_regex}};
    case PreTokenizerStep::Kind::metaspace:
      return {{"type", "Metaspace"},
              {"replacement", step.replacement},
              {"prepend_scheme", name_of(kPrependSchemes, step.prepend)},
              {"split", step.split}};
    case PreTokenizerStep::Kind::split:
      return {
          {"type", "Split"}, {"pattern", pattern_json(step.pattern)}, {"behavior", name_of(kSplitBehaviors, step.behavior)}, {"invert", step.invert}};
    case PreTokenizerStep::Kind::digits:
      return {{"type", "Digits"}, {"individual_digits", step.individual_digits}};
  }
  return nullptr;
}

Json step_json(const DecoderStep& step) {
  switch (step.kind) {
    case DecoderStep::Kind::byte_level:
      return {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
    case DecoderStep::Kind::metaspace:
      return {{"type", "Metaspace"},
              {"replacement", step.replacement},
              {"prepend_scheme", name_of(kPrependSchemes, step.prepend)},
              {"split", step.split}};
    case DecoderStep::Kind::replace:
      return {{"type", "Replace"}, {"pattern", {{"String", step.pattern}}}, {"content", step.content}};
    case DecoderStep::Kind::byte_fallback:
      return {{"type", "ByteFallback"}};
    case DecoderStep::Kind::fuse:
      return {{"type", "Fuse"}};
    case DecoderStep::Kind::strip:
      return {{"type", "Strip"}, {"content", step.content}, {"start", step.start}, {"stop", step.stop}};
  }
  return nullptr;
}

template <class Step>
Json steps_json(const std::vector<Step>& steps, const char* list_key) {
  if (steps.empty()) return nullptr;
  if (steps.size() == 1) return step_json(steps[0]);
  Json list = Json::array();
  for (const Step& step : steps) list.push_back(step_json(step));
  return {{"type", "Sequence"}, {list_key, std::move(list)}};
}

Json added_tokens_json(const std::vector<AddedToken>& tokens) {
  Json list = Json::array();
  for (const AddedToken& token : tokens) {
    list.push_back({{"id", token.id},
                    {"content", token.content},
                    {"single_word", token.single_word},
                    {"lstrip", token.lstrip},
                    {"rstrip", token.rstrip},
                    {"normalized", token.normalized},
                    {"special", token.special}});
  }
  return list;
}

/// Spellings by id, of the vocabulary and of added tokens.
std::vector<std::string_view> spellings_of(const BpeDefinition& definition) {
  std::vector<std::string_view> spellings;
  const auto put = [&](int32_t id, std::string_view spelling) {
    if (static_cast<size_t>(id) >= spellings.size()) spellings.resize(static_cast<size_t>(id) + 1);
    spellings[static_cast<size_t>(id)] = spelling;
  };
  for (const VocabularyEntry& entry : definition.vocabulary) put(entry.id, entry.spelling);
  for (const AddedToken& token : definition.added_tokens) put(token.id, token.content);
  return spellings;
}

Json template_json(const TextTemplate& around, const std::vector<std::string_view>& spellings) {
  Json special_tokens = Json::object();
  const auto append = [&](Json& list, const std::vector<int32_t>& ids, int type_id) {
    for (const int32_t id : ids) {
      const std::string spelling(spellings[static_cast<size_t>(id)]);
      list.push_back({{"SpecialToken", {{"id", spelling}, {"type_id", type_id}}}});
      special_tokens[spelling] = {{"id", spelling}, {"ids", {id}}, {"tokens", {spelling}}};
    }
  };
  const auto append_text = [&](Json& list, const char* name, int type_id) {
    append(list, around.before, type_id);
    list.push_back({{"Sequence", {{"id", name}, {"type_id", type_id}}}});
    append(list, around.after, type_id);
  };
  Json single = Json::array();
  append_text(single, "A", 0);
  Json pair = Json::array();
  append_text(pair, "A", 0);
  if (around.pair_ends_twice) {
    append(pair, around.after, 1);
    pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
    append(pair, around.after, 1);
  } else {
    append_text(pair, "B", 1);
  }
  return {{"type", "TemplateProcessing"}, {"single", std::move(single)}, {"pair", std::move(pair)}, {"special_tokens", std::move(special_tokens)}};
}

/// Everything but the vocabulary and the merges.
Json settings_json(const BpeDefinition& definition) {
  const auto spellings = spellings_of(definition);
  Json settings = Json::object();
  settings["added_tokens"] = added_tokens_json(definition.added_tokens);
  settings["normalizer"] = steps_json(definition.normalizer, "normalizers");
  settings["pre_tokenizer"] = steps_json(definition.pre_tokenizer, "pretokenizers");
  settings["post_processor"] = definition.post_template ? template_json(*definition.post_template, spellings) : Json(nullptr);
  settings["decoder"] = steps_json(definition.decoder, "decoders");
  settings["unk_token"] = definition.unk_token ? Json(*definition.unk_token) : Json(nullptr);
  settings["fuse_unk"] = definition.fuse_unk;
  settings["byte_fallback"] = definition.byte_fallback;
  settings["ignore_merges"] = definition.ignore_merges;
  return settings;
}

std::string json_text(std::string_view text) { return Json(text).dump(); }

void append_model(const BpeDefinition& definition, const Json& settings, std::string& out) {
  const auto spellings = spellings_of(definition);
  out +=
      "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n";
  for (const char* key : {"unk_token", "fuse_unk", "byte_fallback", "ignore_merges"})
    out += fmt::format("    \"{}\": {},\n", key, settings[key].dump());
  out += "    \"vocab\": {";
  const char* separator = "\n";
  for (const VocabularyEntry& entry : definition.vocabulary) {
    out += fmt::format("{}      {}: {}", separator, json_text(entry.spelling), entry.id);
    separator = ",\n";
  }
  out += "\n    },\n    \"merges\": [";
  separator = "\n";
  for (const BpeMerge& merge : definition.merges) {
    // "a b" is what every version of Hugging Face's library reads; a pair is needed where a token has a space in it.
    const std::string_view left = spellings[static_cast<size_t>(merge.left)];
    const std::string_view right = spellings[static_cast<size_t>(merge.right)];
    const bool plain = left.find(' ') == std::string_view::npos && right.find(' ') == std::string_view::npos;
    out += separator;
    out += plain ? fmt::format("      {}", json_text(fmt::format("{} {}", left, right)))
                 : fmt::format("      [{}, {}]", json_text(left), json_text(right));
    separator = ",\n";
  }
  out += "\n    ]\n  }\n";
}

}  // namespace

std::string write_tokenizer_json(const BpeDefinition& definition) {
  const Json settings = settings_json(definition);
  std::string out = "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n";
  for (const char* key : {"added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
    out += fmt::format("  \"{}\": {},\n", key, settings[key].dump());
  }
  append_model(definition, settings, out);
  out += "}\n";
  return out;
}

void save_tokenizer_json(const BpeDefinition& definition, const std::filesystem::path& folder) {
  const auto spellings = spellings_of(definition);
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
  const auto name = [&](const char* key, std::optional<int32_t> id) { config[key] = id ? Json(spellings[static_cast<size_t>(*id)]) : Json(nullptr); };
  name("bos_token", definition.special_ids.bos);
  name("eos_token", definition.special_ids.eos);
  name("pad_token", definition.special_ids.pad);
  name("unk_token", definition.special_ids.unk);
  if (definition.special_ids.mask) name("mask_token", definition.special_ids.mask);
  io::atomic_write_text(folder / "tokenizer_config.json", config.dump(2) + "\n");
  io::atomic_write_text(folder / "tokenizer.json", write_tokenizer_json(definition));
}

std::string fingerprint_of(const BpeDefinition& definition) {
  const auto& special = definition.special_ids;
  std::string content = "bpe 1\n" + settings_json(definition).dump() + "\n";
  for (const auto& id : {special.bos, special.eos, special.pad, special.unk}) content += fmt::format("{}\n", id.value_or(-1));
  for (const VocabularyEntry& entry : definition.vocabulary) content += fmt::format("{} {} {}\n", entry.id, entry.spelling.size(), entry.spelling);
  for (const BpeMerge& merge : definition.merges) content += fmt::format("{} {} {}\n", merge.left, merge.right, merge.result);
  return hash_hex(content);
}

}  // namespace everlong::text
