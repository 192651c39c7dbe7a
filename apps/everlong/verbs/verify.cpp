#include "apps/everlong/verbs/verify.h"

namespace everlong::app {

Syntax declare_verify(Syntax& program, VerifyOptions& options) {
  Syntax verb = program.verb("verify", "Run golden cases and compare every number; exit status 1 if one is off");
  verb.values("CASE", options.cases, Kind::path, "Directories of golden cases").required();
  verb.number("--tolerance", options.tolerance, {.min = 0}, "Largest relative error; default: the bound of the dtype");
  verb.value("--dump", options.dump, Kind::file, "Write what was computed to a safetensors file");
  verb.json(options.json).compute(options.compute);
  verb.example("everlong verify tests/golden/mega/* --dtype f64");
  return verb;
}

}  // namespace everlong::app
