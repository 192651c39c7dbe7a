#pragma once
// Completion scripts, written from the declared command line.

#include <string>

#include "apps/everlong/description.h"

namespace everlong::app {

[[nodiscard]] std::string bash_completion(const VerbDescription& program);
[[nodiscard]] std::string zsh_completion(const VerbDescription& program);
[[nodiscard]] std::string fish_completion(const VerbDescription& program);

}  // namespace everlong::app
