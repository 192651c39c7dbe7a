#include "apps/everlong/verbs/inspect.h"

#include <nlohmann/json.hpp>

#include "apps/everlong/inspection.h"

namespace everlong::app {

Syntax declare_inspect(Syntax& program, InspectOptions& options) {
  Syntax verb = program.verb("inspect", "Show what a file or directory holds, from its headers");
  verb.value("PATH", options.path, Kind::path, "Model directory, state file, safetensors or PyTorch file, tokenizer, packed corpus or run").required();
  verb.json(options.json);
  verb.example("everlong inspect runs/first/checkpoints/step-2000");
  return verb;
}

int run_inspect(const InspectOptions& options) {
  const Json finding = inspect(options.path, kind_of(options.path));
  print(options.json ? json_line(finding) : inspection_text(finding));
  return 0;
}

}  // namespace everlong::app
