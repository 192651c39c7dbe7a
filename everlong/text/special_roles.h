#pragma once
// Which tokens begin, end, pad, stand for the unknown and for what is masked.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "everlong/text/bpe_definition.h"
#include "everlong/text/string_table.h"

namespace everlong::text {

/// Fills definition.special_ids. For each role the first of these decides: the key "<role>_token" of `config` (the text of a
/// tokenizer_config.json, may be empty; null there means none), the model's unk_token, the template's first and last tokens, and well-known names
/// among the special added tokens.
/// Errors   FormatError if `config` is no JSON object or names a token that the vocabulary lacks
void find_special_ids(std::string_view config, const std::function<std::optional<int32_t>(std::string_view)>& id_of, BpeDefinition& definition);

/// The texts of the files that may lie beside vocab.json and merges.txt; empty where one is missing.
struct SpecialTokenFiles {
  std::string config = {};              ///< config.json: "<role>_token_id", "tokenizer_class"
  std::string tokenizer_config = {};    ///< tokenizer_config.json: "<role>_token", "added_tokens_decoder", "add_prefix_space", "tokenizer_class"
  std::string special_tokens_map = {};  ///< special_tokens_map.json: "<role>_token", "additional_special_tokens"
  std::string added_tokens = {};        ///< added_tokens.json: ids by spelling
};

/// Makes a vocabulary without special tokens one with them: added tokens, the ids of the roles, and the template around a text. For each role
/// (bos, eos, pad, unk, mask, cls, sep) the first of these decides: tokenizer_config, special_tokens_map, config (an id counts where its spelling
/// is <...> or [...], so that the default ids of a configuration make no ordinary token special), and RoBERTa's and GPT-2's own spellings where
/// the vocabulary has them. A mask token without settings of its own takes the spaces before it along. Texts stand between cls and sep where the
/// tokenizer's class is of RoBERTa's family, or where no class is named and the vocabulary has <s> and </s>.
/// Errors   FormatError naming file and key if a token or an id contradicts the vocabulary or a value has the wrong type
void add_special_tokens(const SpecialTokenFiles& files, SpellingIds& ids, BpeDefinition& definition);

}  // namespace everlong::text
