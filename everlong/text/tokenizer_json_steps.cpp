#include "everlong/text/tokenizer_json_steps.h"

#include <fmt/format.h>

#include "everlong/text/token_decoder.h"
#include "everlong/text/tokenizer_json_names.h"
#include "everlong/text/utf8.h"

namespace everlong::text {
namespace {

constexpr size_t kMaxSteps = 32;
constexpr size_t kMaxContentBytes = 256;

/// Calls `read` for a step, or for each step of (nested) Sequences.
template <class Read>
void for_each_step(const JsonNode& node, const char* list_key, size_t& count, Read&& read) {
  if (node.type() == "Sequence") {
    node.allow_only({"type", list_key});
    for (const JsonNode& step : node.member(list_key).elements()) for_each_step(step, list_key, count, read);
    return;
  }
  if (++count > kMaxSteps) node.not_supported(fmt::format("at most {} steps", kMaxSteps), "more");
  read(node);
}

std::string short_text(const JsonNode& node) {
  std::string text = node.text();
  if (text.size() > kMaxContentBytes) node.not_supported(fmt::format("at most {} bytes", kMaxContentBytes), std::to_string(text.size()));
  return text;
}

std::string non_empty_text(const JsonNode& node) {
  std::string text = short_text(node);
  if (text.empty()) node.refuse("a text that is not empty", "\"\"");
  return text;
}

TextPattern read_pattern(const JsonNode& node) {
  if (const auto literal = node.optional_member("String")) {
    node.allow_only({"String"});
    return {false, non_empty_text(*literal)};
  }
  node.allow_only({"Regex"});
  return {true, node.member("Regex").text()};
}

template <class E, size_t n>
E read_choice(const JsonNode& node, const ChoiceNames<E, n>& names) {
  const std::string text = node.text();
  const auto value = value_of(names, text);
  if (!value) {
    std::string known;
    for (const auto& name : names) known += (known.empty() ? "" : ", ") + std::string(name.first);
    node.not_supported("one of " + known, fmt::format("'{}'", text));
  }
  return *value;
}

/// Metaspace as pre-tokenizer and as decoder, in the form of any version of the library.
struct Metaspace {
  std::string replacement;
  PrependScheme prepend;
  bool split;
};

Metaspace read_metaspace(const JsonNode& node) {
  node.allow_only({"type", "replacement", "str_rep", "add_prefix_space", "prepend_scheme", "split"});
  Metaspace metaspace{node.member("replacement").text(), PrependScheme::always, node.boolean_or("split", true)};
  const bool one_char = !metaspace.replacement.empty() && code_point_at(metaspace.replacement, 0).size_bytes == metaspace.replacement.size();
  if (!one_char) node.member("replacement").refuse("one character", fmt::format("'{}'", metaspace.replacement));
  if (!node.boolean_or("add_prefix_space", true)) metaspace.prepend = PrependScheme::never;
  if (const auto scheme = node.optional_member("prepend_scheme")) metaspace.prepend = read_choice(*scheme, kPrependSchemes);
  return metaspace;
}

NormalizerStep read_normalizer_step(const JsonNode& node) {
  const std::string type = node.type();
  if (type == "Prepend") {
    node.allow_only({"type", "prepend"});
    return {.kind = NormalizerStep::Kind::prepend, .content = short_text(node.member("prepend"))};
  }
  if (type == "Replace") {
    node.allow_only({"type", "pattern", "content"});
    return {.kind = NormalizerStep::Kind::replace, .pattern = read_pattern(node.member("pattern")), .content = short_text(node.member("content"))};
  }
  if (type == "Strip") {
    node.allow_only({"type", "strip_left", "strip_right"});
    return {.kind = NormalizerStep::Kind::strip, .left = node.member("strip_left").boolean(), .right = node.member("strip_right").boolean()};
  }
  if (const auto form = value_of(kNormalForms, type)) {
    node.allow_only({"type"});
    return {.kind = NormalizerStep::Kind::unicode, .form = *form};
  }
  node.not_supported("a normalizer of type Sequence, Prepend, Replace, Strip, NFC, NFD, NFKC or NFKD", fmt::format("'{}'", type));
}

PreTokenizerStep read_pre_tokenizer_step(const JsonNode& node) {
  const std::string type = node.type();
  if (type == "ByteLevel") {
    node.allow_only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
    return {.kind = PreTokenizerStep::Kind::byte_level,
            .add_prefix_space = node.member("add_prefix_space").boolean(),
            .use_regex = node.boolean_or("use_regex", true)};
  }
  if (type == "Metaspace") {
    Metaspace metaspace = read_metaspace(node);
    return {.kind = PreTokenizerStep::Kind::metaspace,
            .replacement = std::move(metaspace.replacement),
            .prepend = metaspace.prepend,
            .split = metaspace.split};
  }
  if (type == "Split") {
    node.allow_only({"type", "pattern", "behavior", "invert"});
    return {.kind = PreTokenizerStep::Kind::split,
            .pattern = read_pattern(node.member("pattern")),
            .behavior = read_choice(node.member("behavior"), kSplitBehaviors),
            .invert = node.boolean_or("invert", false)};
  }
  if (type == "Digits") {
    node.allow_only({"type", "individual_digits"});
    return {.kind = PreTokenizerStep::Kind::digits, .individual_digits = node.boolean_or("individual_digits", false)};
  }
  node.not_supported("a pre-tokenizer of type Sequence, ByteLevel, Metaspace, Split or Digits", fmt::format("'{}'", type));
}

DecoderStep read_decoder_step(const JsonNode& node) {
  const std::string type = node.type();
  if (type == "ByteLevel") {
    node.allow_only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
    return {.kind = DecoderStep::Kind::byte_level};
  }
  if (type == "Metaspace") {
    Metaspace metaspace = read_metaspace(node);
    return {.kind = DecoderStep::Kind::metaspace,
            .replacement = std::move(metaspace.replacement),
            .prepend = metaspace.prepend,
            .split = metaspace.split};
  }
  if (type == "Replace") {
    node.allow_only({"type", "pattern", "content"});
    const JsonNode pattern_node = node.member("pattern");
    const TextPattern pattern = read_pattern(pattern_node);
    if (pattern.is_regex) pattern_node.not_supported("a String pattern in a decoder", "a Regex");
    return {.kind = DecoderStep::Kind::replace, .pattern = pattern.text, .content = short_text(node.member("content"))};
  }
  if (type == "Strip") {
    node.allow_only({"type", "content", "start", "stop"});
    return {.kind = DecoderStep::Kind::strip,
            .content = node.member("content").text(),
            .start = node.member("start").integer(0, 1 << 20),
            .stop = node.member("stop").integer(0, 1 << 20)};
  }
  if (type == "ByteFallback" || type == "Fuse") {
    node.allow_only({"type"});
    return {.kind = type == "Fuse" ? DecoderStep::Kind::fuse : DecoderStep::Kind::byte_fallback};
  }
  node.not_supported("a decoder of type Sequence, ByteLevel, Metaspace, Replace, ByteFallback, Fuse or Strip", fmt::format("'{}'", type));
}

/// The ids that the map `special_tokens` of a template gives to a name.
std::vector<int32_t> template_ids(const JsonNode& post_processor, const JsonNode& item, size_t id_limit) {
  item.allow_only({"SpecialToken"});
  const std::string name = item.member("SpecialToken").member("id").text();
  std::vector<int32_t> ids;
  for (const JsonNode& id : post_processor.member("special_tokens").member(name.c_str()).member("ids").elements()) {
    ids.push_back(static_cast<int32_t>(id.integer(0, static_cast<int64_t>(id_limit) - 1)));
  }
  return ids;
}

/// True if the tokens between the two texts of a pair are those after a text, twice.
bool pair_ends_twice(const JsonNode& node, const JsonNode& pair, const TextTemplate& around, size_t id_limit) {
  std::vector<int32_t> between;
  int sequences = 0;
  for (const JsonNode& item : pair.elements()) {
    if (item.optional_member("Sequence")) {
      ++sequences;
    } else if (sequences == 1) {
      for (const int32_t id : template_ids(node, item, id_limit)) between.push_back(id);
      if (between.size() > 2 * kMaxSteps) item.not_supported(fmt::format("at most {} special tokens", 2 * kMaxSteps), "more");
    }
  }
  std::vector<int32_t> twice = around.after;
  twice.insert(twice.end(), around.after.begin(), around.after.end());
  return sequences == 2 && !twice.empty() && around.before != around.after && between == twice;
}

TextTemplate read_template(const JsonNode& node, size_t id_limit) {
  node.allow_only({"type", "single", "pair", "special_tokens"});
  TextTemplate around;
  int sequences = 0;
  const JsonNode single = node.member("single");
  for (const JsonNode& item : single.elements()) {
    if (const auto sequence = item.optional_member("Sequence")) {
      if (sequence->member("id").text() != "A") sequence->refuse("sequence A", sequence->member("id").text());
      ++sequences;
      continue;
    }
    auto& list = sequences == 0 ? around.before : around.after;
    for (const int32_t id : template_ids(node, item, id_limit)) list.push_back(id);
    if (list.size() > kMaxSteps) item.not_supported(fmt::format("at most {} special tokens", kMaxSteps), "more");
  }
  if (sequences != 1) single.refuse("the sequence A once", std::to_string(sequences) + " times");
  if (const auto pair = node.optional_member("pair")) around.pair_ends_twice = pair_ends_twice(node, *pair, around, id_limit);
  return around;
}

/// What RoBERTa and BART put around: cls in front, sep behind, and twice between two texts.
TextTemplate read_roberta_processing(const JsonNode& node, size_t id_limit) {
  node.allow_only({"type", "sep", "cls", "trim_offsets", "add_prefix_space"});
  const auto id_of = [&](const char* key) {
    const JsonNode member = node.member(key);
    const auto parts = member.elements();
    if (parts.size() != 2) member.refuse("a token and its id", fmt::format("a list of {}", parts.size()));
    return static_cast<int32_t>(parts[1].integer(0, static_cast<int64_t>(id_limit) - 1));
  };
  return {.before = {id_of("cls")}, .after = {id_of("sep")}, .pair_ends_twice = true};
}

}  // namespace

std::vector<NormalizerStep> read_normalizer(const std::optional<JsonNode>& node) {
  std::vector<NormalizerStep> steps;
  size_t count = 0;
  if (node) for_each_step(*node, "normalizers", count, [&](const JsonNode& step) { steps.push_back(read_normalizer_step(step)); });
  return steps;
}

std::vector<PreTokenizerStep> read_pre_tokenizer(const std::optional<JsonNode>& node) {
  std::vector<PreTokenizerStep> steps;
  size_t count = 0;
  if (node) for_each_step(*node, "pretokenizers", count, [&](const JsonNode& step) { steps.push_back(read_pre_tokenizer_step(step)); });
  for (size_t i = 0; i + 1 < steps.size(); ++i) {
    if (steps[i].kind == PreTokenizerStep::Kind::byte_level) node->not_supported("ByteLevel as the last pre-tokenizer", "steps after it");
  }
  return steps;
}

std::vector<DecoderStep> read_decoder(const JsonNode& node) {
  if (node.is_null()) {
    node.not_supported("a decoder", "null",
                       "without one the library puts a space between all tokens; name the decoder that belongs to the pre-tokenizer");
  }
  std::vector<DecoderStep> steps;
  size_t count = 0;
  for_each_step(node, "decoders", count, [&](const JsonNode& step) { steps.push_back(read_decoder_step(step)); });
  if (!decoder_order_is_supported(steps)) {
    node.not_supported(
        "ByteLevel alone, Metaspace alone, or Replace..., ByteFallback, Fuse, Strip in this order (Strip: one ASCII character, stop 0)",
        "another order");
  }
  return steps;
}

std::optional<TextTemplate> read_post_processor(const std::optional<JsonNode>& node, size_t id_limit) {
  std::optional<TextTemplate> around;
  size_t count = 0;
  if (!node) return around;
  for_each_step(*node, "processors", count, [&](const JsonNode& step) {
    const std::string type = step.type();
    if (type == "ByteLevel") return;  // it changes offsets, which are not offered, and no ids
    if (type != "TemplateProcessing" && type != "RobertaProcessing")
      step.not_supported("a post-processor of type Sequence, ByteLevel, TemplateProcessing or RobertaProcessing", fmt::format("'{}'", type));
    if (around) step.not_supported("one TemplateProcessing", "two");
    around = type == "TemplateProcessing" ? read_template(step, id_limit) : read_roberta_processing(step, id_limit);
  });
  return around;
}

}  // namespace everlong::text
