#include "apps/everlong/verbs/embed.h"

#include <array>

namespace everlong::app {
namespace {

constexpr std::array<std::pair<std::string_view, EmbedPooling>, 4> kPoolings{
    {{"mean", EmbedPooling::mean}, {"first", EmbedPooling::first}, {"last", EmbedPooling::last}, {"pooler", EmbedPooling::pooler}}};

}  // namespace

Syntax declare_embed(Syntax& program, EmbedOptions& options) {
  Syntax verb = program.verb("embed", "Turn each line of a file into a vector");
  verb.value("MODEL", options.model, Kind::path, "Model directory or run").required();
  verb.value("FILE", options.file, Kind::file, "Text, one line a vector; of .tsv and .jsonl the first text of each example").required();
  verb.value("-o,--out", options.out, Kind::file, "NumPy file to write: float32, a row a line").required();
  verb.choice("--pooling", options.pooling, Names<EmbedPooling>(kPoolings), "Mean over the tokens, the first or last one, or the model's own pooler");
  verb.value("--text-column", options.text_column, Kind::text, "Column or key of the text; default: the usual names");
  verb.integer("--max-len", options.max_len, {.min = 4}, "Tokens a line, the rest is cut off; default: what the model says");
  verb.integer("--batch-size", options.batch_size, {.min = 1, .max = 65536}, "Lines a call");
  verb.json(options.json).compute(options.compute);
  verb.example("everlong embed runs/mlm sentences.txt -o vectors.npy");
  return verb;
}

}  // namespace everlong::app
