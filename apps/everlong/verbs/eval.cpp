#include "apps/everlong/verbs/eval.h"

#include <array>

namespace everlong::app {
namespace {

constexpr std::array<std::pair<std::string_view, EvalContext>, 2> kContexts{{{"carry", EvalContext::carry}, {"reset", EvalContext::reset}}};

}  // namespace

Syntax declare_eval(Syntax& program, EvalOptions& options) {
  Syntax verb = program.verb("eval", "Measure the loss of a language model, or the scores of a task, on files");
  verb.value("MODEL", options.model, Kind::path, "Model directory or run").required();
  verb.values("FILE", options.files, Kind::file, "Text files or packed corpora; - is standard input. With a task: .tsv or .jsonl with labels").required();
  verb.choice("--context", options.context, Names<EvalContext>(kContexts), "Carry the state from segment to segment, or start each one afresh");
  verb.integer("--segment", options.segment, {.min = 1}, "Tokens a call; default: what the model says");
  verb.integer("--max-tokens", options.max_tokens, {.min = 1}, "Stop after this many tokens of each file");
  verb.flag("--by-position", options.by_position, "Also report the loss by distance from the start of the file");
  verb.choice("--task", options.task, evaluated_tasks(), "Score the predictions of a task instead");
  options.examples.declare(verb);
  verb.number("--mask-ratio", options.mask_ratio, {.min = 0.001, .max = 1}, "masked-lm: share of the tokens to name");
  verb.json(options.json).compute(options.compute);
  verb.example("everlong eval runs/first book.txt");
  verb.example("everlong eval runs/first book.txt --context reset --segment 512 --json");
  verb.example("everlong eval runs/reviews dev.tsv --task sequence-classification");
  return verb;
}

}  // namespace everlong::app
