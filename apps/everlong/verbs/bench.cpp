#include "apps/everlong/verbs/bench.h"

namespace everlong::app {
namespace {

using bench::ModelPhase;

constexpr std::pair<std::string_view, ModelPhase> kPhases[] = {
    {"all", ModelPhase::all}, {"encode", ModelPhase::encode}, {"infer", ModelPhase::infer}, {"train", ModelPhase::train}};

}  // namespace

Syntax declare_bench(Syntax& program, BenchOptions& options) {
  Syntax verb = program.verb("bench", "Time operations and models on this machine");
  verb.values("TARGET", options.targets, Kind::path,
              "ema, complex-ema, attention, cross-entropy, linear, timestep-norm, roofs, a preset such as mega-small, a model directory or a run")
      .required();
  verb.integer("--batch-size", options.batch_size, {.min = 1}, "Sequences at once");
  verb.integer("--seq-len", options.seq_len, {.min = 1}, "Tokens a sequence");
  verb.integer("--decode-tokens", options.decode_tokens, {.min = 1}, "Tokens generated in one timed call, after a prefix of --seq-len tokens");
  verb.values("--set", options.set, Kind::text, "Change a key of a preset: --set chunk_size=512");
  verb.flag("--activation-checkpointing", options.activation_checkpointing, "Train steps recompute the inside of each layer");
  verb.choice("--only", options.only, Names<ModelPhase>(kPhases),
              "Of a model only hidden states without scores (how it reads long inputs), only prefill and decode, or only train steps");
  verb.integer("--repeat", options.repeat, {.min = 1}, "Timed repetitions; best and median are reported");
  verb.json(options.json).compute(options.compute);
  verb.example("everlong bench roofs ema mega-small --json");
  verb.example("everlong bench mega-encoder-small-16k --only encode --seq-len 65536 --dtype bf16 --repeat 1");
  return verb;
}

}  // namespace everlong::app
