#include "apps/everlong/verbs/bench.h"

namespace everlong::app {

Syntax declare_bench(Syntax& program, BenchOptions& options) {
  Syntax verb = program.verb("bench", "Time operations and models on this machine");
  verb.values("TARGET", options.targets, Kind::path, "Names of operations, or model directories").required();
  verb.integer("--batch-size", options.batch_size, {.min = 1}, "Sequences at once");
  verb.integer("--seq-len", options.seq_len, {.min = 1}, "Tokens a sequence");
  verb.integer("--repeat", options.repeat, {.min = 1}, "Timed repetitions; the median is reported");
  verb.flag("--backward", options.backward, "Time the gradient too");
  verb.json(options.json).compute(options.compute);
  verb.example("everlong bench ema runs/first --seq-len 4096 --json");
  return verb;
}

}  // namespace everlong::app
