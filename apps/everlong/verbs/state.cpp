#include "apps/everlong/verbs/state.h"

#include <nlohmann/json.hpp>

#include "apps/everlong/inspection.h"
#include "everlong/base/error.h"

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

int run_state_info(const StateOptions& options) {
  const PathKind kind = kind_of(options.file);
  if (kind != PathKind::state)
    throw StateError({.where = options.file, .expected = "a state file", .got = to_string(kind), .hint = "everlong inspect shows what it holds"});
  const Json finding = inspect(options.file, kind);
  print(options.json ? json_line(finding) : inspection_text(finding));
  return 0;
}

}  // namespace everlong::app
