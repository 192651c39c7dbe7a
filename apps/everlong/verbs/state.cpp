#include "apps/everlong/verbs/state.h"

namespace everlong::app {

Syntax declare_state(Syntax& program, StateOptions& options) {
  Syntax group = program.verb("state", "Look at saved states and compare them");
  Syntax info = group.verb("info", "Show position, model, tokenizer and slots of a state file");
  info.value("FILE", options.file, Kind::file, "State file").required();
  info.json(options.json);
  info.on_chosen([&options] { options.action = StateAction::info; });
  Syntax diff = group.verb("diff", "Compare two state files slot by slot; exit status 1 if they differ");
  diff.value("FILE", options.file, Kind::file, "State file").required();
  diff.value("OTHER", options.other, Kind::file, "State file to compare with").required();
  diff.number("--tolerance", options.tolerance, {.min = 0}, "Largest absolute difference that counts as equal");
  diff.json(options.json);
  diff.on_chosen([&options] { options.action = StateAction::diff; });
  return group.require_verb();
}

}  // namespace everlong::app
