#include "apps/everlong/verbs/inspect.h"

#include "everlong/base/error.h"

namespace everlong::app {

Syntax declare_inspect(Syntax& program, InspectOptions& options) {
  Syntax verb = program.verb("inspect", "Show what a file or directory holds, from its headers");
  verb.value("PATH", options.path, Kind::path, "Model directory, state file, safetensors file, tokenizer, packed corpus or run").required();
  verb.json(options.json);
  verb.example("everlong inspect runs/first/checkpoints/step-2000");
  return verb;
}

int run_inspect(const InspectOptions&) { throw Unsupported({.where = "inspect", .expected = "a verb that is built in this version"}); }

}  // namespace everlong::app
