#include "everlong/text/piece_encoder.h"

#include <algorithm>

#include "everlong/text/bpe_definition.h"

namespace everlong::text {
namespace {

/// True if no token of the tokenizer spans a visible ASCII character and a space or line feed after it.
bool words_end_at_spaces(const Tokenizer& tokenizer, const EncodeOptions& options) {
  if (tokenizer.kind() == "bytes") return true;
  const BpeDefinition* definition = bpe_definition(tokenizer);
  if (definition == nullptr || !definition->normalizer.empty() || definition->pre_tokenizer.size() != 1) return false;
  const PreTokenizerStep& step = definition->pre_tokenizer.front();
  const bool added_text = options.parse_special && !definition->added_tokens.empty();
  const bool plain_added = std::none_of(definition->added_tokens.begin(), definition->added_tokens.end(), [](const AddedToken& token) { return !token.special; });
  return step.kind == PreTokenizerStep::Kind::byte_level && step.use_regex && !step.add_prefix_space && !added_text && plain_added &&
         !(options.add_special && definition->post_template);
}

bool is_visible_ascii(char c) { return c > ' ' && c < '\x7f'; }

/// The last place at which the text may be cut; 0 = nowhere.
size_t last_cut(std::string_view text) {
  for (size_t i = text.size(); i-- > 1;)
    if ((text[i] == ' ' || text[i] == '\n') && is_visible_ascii(text[i - 1])) return i;
  return 0;
}

}  // namespace

PieceEncoder::PieceEncoder(const Tokenizer& tokenizer, const EncodeOptions& options)
    : tokenizer_(tokenizer), options_(options), bounded_(words_end_at_spaces(tokenizer, options)) {}

void PieceEncoder::push(std::string_view text, std::vector<int32_t>& ids) {
  held_ += text;
  if (!bounded_) return;
  const size_t cut = last_cut(held_);
  if (cut == 0) return;
  tokenizer_.encode_into(std::string_view(held_).substr(0, cut), ids, options_);
  held_.erase(0, cut);
}

void PieceEncoder::finish(std::vector<int32_t>& ids) {
  tokenizer_.encode_into(held_, ids, options_);
  held_.clear();
}

}  // namespace everlong::text
