#include "apps/everlong/verbs/train.h"

namespace everlong::app {

Syntax declare_train(Syntax& program, TrainOptions& options) {
  Syntax verb = program.verb("train", "Train a model with carried state, as a configuration file describes");
  verb.value("CONFIG", options.config, Kind::file, "Run configuration (TOML)").required();
  verb.values("--set", options.set, Kind::text, "Override a key of the configuration: --set optim.lr=3e-4");
  verb.value("-o,--out", options.out, Kind::directory,
             "Run directory; without it runs/ and the name of CONFIG, and with --resume the folder of CONFIG if that is a run's config.toml");
  verb.flag("--resume", options.resume, "Continue the run in the run directory from its latest checkpoint");
  verb.flag("--dry-run", options.dry_run, "Check configuration and data, print the plan, train nothing");
  verb.json(options.json).compute(options.compute);
  verb.example("everlong train configs/quickstart.toml --out runs/first --set train.steps=2000");
  verb.example("everlong train runs/first/config.toml --resume");
  return verb;
}

}  // namespace everlong::app
