#pragma once
// Files that a person names, "-" being standard input.

#include <filesystem>
#include <memory>
#include <string>

#include "everlong/text/tokenizer.h"

namespace everlong::app {

/// Reads a whole file, or standard input for "-".
/// Errors   IoError
[[nodiscard]] std::string read_input(const std::string& name);

/// "bytes", or what load_tokenizer() understands. A file or folder called bytes is named ./bytes.
[[nodiscard]] std::unique_ptr<text::Tokenizer> tokenizer_named(const std::string& name);

}  // namespace everlong::app
