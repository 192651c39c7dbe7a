#pragma once
// Which tokens begin, end, pad and stand for the unknown.

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "everlong/text/bpe_definition.h"

namespace everlong::text {

/// Fills definition.special_ids. For each role the first of these decides: the key "<role>_token" of `config` (the text of a
/// tokenizer_config.json, may be empty; null there means none), the model's unk_token, the template's first and last tokens, and well-known names
/// among the special added tokens.
/// Errors   FormatError if `config` is no JSON object or names a token that the vocabulary lacks
void find_special_ids(std::string_view config, const std::function<std::optional<int32_t>(std::string_view)>& id_of, BpeDefinition& definition);

}  // namespace everlong::text
