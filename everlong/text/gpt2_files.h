#pragma once
// GPT-2's vocabulary as two files: names with ids, and merges in lines.

#include <string>

#include "everlong/text/bpe_definition.h"
#include "everlong/text/special_roles.h"

namespace everlong::text {

/// The texts of the files, and their names for messages.
struct Gpt2Files {
  std::string vocabulary, vocabulary_name;
  std::string merges, merges_name;
  SpecialTokenFiles beside = {};
};

/// Reads encoder.json (or vocab.json) and vocab.bpe (or merges.txt). <|endoftext|>, where the vocabulary has it, is special, begins and ends texts;
/// other special tokens are those of add_special_tokens().
/// Errors   FormatError naming file and line or key
[[nodiscard]] BpeDefinition read_gpt2_files(const Gpt2Files& files);

}  // namespace everlong::text
