#pragma once
// What `everlong inspect` and `everlong state info` find in a path: read from headers, told as text or as JSON.

#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "apps/everlong/output.h"

namespace everlong::text {
class Tokenizer;
}

namespace everlong::app {

using Json = nlohmann::ordered_json;

enum class PathKind { safetensors, pytorch, state, model, run, tokenizer, corpus };

[[nodiscard]] const char* to_string(PathKind kind);

/// Tells what a path holds by what is in it; names of files do not matter except inside directories and for packed corpora (PREFIX.bin, PREFIX.idx
/// or PREFIX).
/// Errors   IoError if nothing is there; InvalidArgument if no known form fits, naming the forms
[[nodiscard]] PathKind kind_of(const std::filesystem::path& path);

/// The whole finding as one JSON object with "kind" and "path".
/// Errors   FormatError where the content contradicts the form
[[nodiscard]] Json inspect(const std::filesystem::path& path, PathKind kind);

/// Kind, size, special tokens and fingerprint of a tokenizer.
[[nodiscard]] Json inspect_tokenizer(const text::Tokenizer& tokenizer);

/// The same finding for people: scalar members as lines, lists of objects as tables.
[[nodiscard]] std::string inspection_text(const Json& finding);

/// One line, with a newline; text that is not UTF-8 is replaced.
[[nodiscard]] std::string json_line(const Json& value);

}  // namespace everlong::app
