#pragma once
// Hugging Face's tokenizer.json, read within a declared subset and written so that Hugging Face's library reads it back to the same ids.

#include <filesystem>
#include <string>
#include <string_view>

#include "everlong/text/bpe_definition.h"

namespace everlong::text {

/// Reads the text of a tokenizer.json of the BPE family. docs/tokenizers.md lists what is supported.
/// `config` is the text of the tokenizer_config.json beside it, which names bos, eos, pad and unk; empty if there is none.
/// Errors   FormatError naming the key that is malformed; Unsupported naming the key and type that is outside the subset
[[nodiscard]] BpeDefinition read_tokenizer_json(std::string_view text, std::string_view file_name, std::string_view config = {});

/// The text of a tokenizer.json.
[[nodiscard]] std::string write_tokenizer_json(const BpeDefinition& definition);

/// Writes tokenizer.json and tokenizer_config.json.
/// Errors   IoError
void save_tokenizer_json(const BpeDefinition& definition, const std::filesystem::path& folder);

}  // namespace everlong::text
