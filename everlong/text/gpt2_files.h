#pragma once
// GPT-2's vocabulary as two files: names with ids, and merges in lines.

#include <string_view>

#include "everlong/text/bpe_definition.h"

namespace everlong::text {

/// Reads encoder.json (or vocab.json) and vocab.bpe (or merges.txt). <|endoftext|>, where the vocabulary has it, is special, begins and ends texts.
/// Errors   FormatError naming file and line or key
[[nodiscard]] BpeDefinition read_gpt2_files(std::string_view vocabulary, std::string_view vocabulary_name, std::string_view merges,
                                            std::string_view merges_name);

}  // namespace everlong::text
