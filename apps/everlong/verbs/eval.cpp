#include "apps/everlong/verbs/eval.h"

#include <array>

namespace everlong::app {
namespace {

constexpr std::array<std::pair<std::string_view, EvalContext>, 2> kContexts{{{"carry", EvalContext::carry}, {"reset", EvalContext::reset}}};

}  // namespace

Syntax declare_eval(Syntax& program, EvalOptions& options) {
  Syntax verb = program.verb("eval", "Measure the loss of a language model, or the scores of a task, on files");
  verb.value("MODEL", options.model, Kind::path, "Model directory or run").required();
  verb.values("FILE", options.files, Kind::file, "Text files or packed corpora; - is standard input. With a task: .tsv or .jsonl with labels")
      .required();
  verb.choice("--context", options.context, Names<EvalContext>(kContexts), "Carry the state from segment to segment, or start each one afresh");
  verb.integer("--segment", options.segment, {.min = 1}, "Tokens a call; default: what the model says");
  verb.integer("--max-tokens", options.max_tokens, {.min = 1}, "Stop after this many tokens of each file");
  verb.flag("--by-position", options.by_position, "Also report the loss by distance from the start of the file");
  verb.value("--context-lengths", options.context_lengths, Kind::text,
             "Does context help? Score the same tokens after histories of these lengths: 0,1k,16k,128k (k = 1024, m = 1024 k)");
  verb.values("--history", options.history, Kind::file,
              "With --context-lengths: a text to read before FILE, again from its end where it is too short");
  verb.integer("--windows", options.windows, {.min = 1, .max = 4096},
               "With --context-lengths: stretches of FILE that are scored, at equal distances");
  verb.integer("--window", options.window_len, {.min = 2, .max = 1 << 24}, "With --context-lengths: tokens of such a stretch");
  verb.value("--plot", options.plot, Kind::file, "With --context-lengths: SVG picture to write");
  verb.choice("--task", options.task, evaluated_tasks(), "Score the predictions of a task instead");
  options.examples.declare(verb);
  verb.number("--mask-ratio", options.mask_ratio, {.min = 0.001, .max = 1}, "masked-lm: share of the tokens to name");
  verb.json(options.json).compute(options.compute);
  verb.example("everlong eval runs/first book.txt");
  verb.example("everlong eval runs/first book.txt --context reset --segment 512 --json");
  verb.example("everlong eval runs/first book.txt --context-lengths 0,1k,16k");
  verb.example("everlong eval runs/reviews dev.tsv --task sequence-classification");
  return verb;
}

}  // namespace everlong::app
