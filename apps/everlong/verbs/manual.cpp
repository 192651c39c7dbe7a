#include "apps/everlong/verbs/manual.h"

#include <array>

#include "apps/everlong/completion.h"
#include "apps/everlong/man_page.h"
#include "apps/everlong/output.h"

namespace everlong::app {
namespace {

constexpr std::array<std::pair<std::string_view, Shell>, 3> kShells{{{"bash", Shell::bash}, {"zsh", Shell::zsh}, {"fish", Shell::fish}}};

}  // namespace

Syntax declare_completion(Syntax& program, CompletionOptions& options) {
  Syntax verb = program.verb("completion", "Print a completion script for a shell");
  verb.choice("SHELL", options.shell, Names<Shell>(kShells), "bash, zsh or fish").required();
  verb.example("source <(everlong completion bash)");
  return verb;
}

Syntax declare_man(Syntax& program) {
  Syntax verb = program.verb("man", "Print the manual page");
  verb.example("everlong man | man -l -");
  return verb;
}

int run_completion(const CompletionOptions& options, const VerbDescription& program) {
  switch (options.shell) {
    case Shell::bash:
      print(bash_completion(program));
      break;
    case Shell::zsh:
      print(zsh_completion(program));
      break;
    case Shell::fish:
      print(fish_completion(program));
      break;
  }
  return 0;
}

int run_man(const VerbDescription& program) {
  print(man_page(program));
  return 0;
}

}  // namespace everlong::app
