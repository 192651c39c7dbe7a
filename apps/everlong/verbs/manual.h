#pragma once
// everlong completion and everlong man: the command line, written for shells and for man.

#include "apps/everlong/description.h"
#include "apps/everlong/syntax.h"

namespace everlong::app {

enum class Shell { bash, zsh, fish };

struct CompletionOptions {
  Shell shell = Shell::bash;
};

Syntax declare_completion(Syntax& program, CompletionOptions& options);
Syntax declare_man(Syntax& program);

/// Prints a completion script for `program`.
int run_completion(const CompletionOptions& options, const VerbDescription& program);

/// Prints everlong.1, in the man macros of troff.
int run_man(const VerbDescription& program);

}  // namespace everlong::app
