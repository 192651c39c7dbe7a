#pragma once
// What --help prints.

#include <string>

#include "apps/everlong/description.h"

namespace everlong::app {

/// Writes the help of one verb. `globals` are the program's own options, which every verb understands.
/// Units    width in columns, >= 40
[[nodiscard]] std::string help_text(const VerbDescription& verb, const std::vector<ArgumentDescription>& globals, int width);

/// Breaks text at spaces so that no line is longer than `width`, and indents each line but the first by `indent`.
[[nodiscard]] std::string wrapped(const std::string& text, int width, int indent);

}  // namespace everlong::app
