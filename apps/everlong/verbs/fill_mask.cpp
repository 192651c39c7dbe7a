#include "apps/everlong/verbs/fill_mask.h"

namespace everlong::app {

Syntax declare_fill_mask(Syntax& program, FillMaskOptions& options) {
  Syntax verb = program.verb("fill-mask", "Say which tokens may stand behind the masks of a text");
  verb.value("MODEL", options.model, Kind::path, "Model directory or run of a masked language model").required();
  verb.values("--text", options.texts, Kind::text, "Text with the tokenizer's mask token, once or more often").required();
  verb.integer("--top-k", options.top_k, {.min = 1, .max = 10000}, "Tokens to name for each mask");
  verb.json(options.json).compute(options.compute);
  verb.example("everlong fill-mask runs/mlm --text 'I love to <mask>.'");
  verb.example("everlong fill-mask runs/mlm --text 'A <mask> in the <mask>.' --text 'Not <mask>.' --top-k 3 --json");
  return verb;
}

}  // namespace everlong::app
