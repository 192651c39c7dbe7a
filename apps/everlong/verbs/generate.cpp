#include "apps/everlong/verbs/generate.h"

namespace everlong::app {

Syntax declare_generate(Syntax& program, GenerateOptions& options) {
  Syntax verb = program.verb("generate", "Continue a text, from its start or from a saved state; or write the target of a source");
  verb.value("MODEL", options.model, Kind::path, "Model directory or run").required();
  verb.value("-p,--prompt", options.prompt, Kind::text, "Text to continue");
  verb.value("--prompt-file", options.prompt_file, Kind::file, "File with the text to continue; - is standard input").excludes("--prompt");
  verb.value("--source", options.source, Kind::text, "Encoder-decoder models: the text to read").excludes("--prompt").excludes("--prompt-file");
  verb.value("--source-file", options.source_file, Kind::file, "File with the text to read; - is standard input")
      .excludes("--source")
      .excludes("--prompt")
      .excludes("--prompt-file");
  verb.integer("-n,--max-tokens", options.max_tokens, {.min = 0}, "Tokens to generate; 0 only reads the prompt");
  verb.number("--temperature", options.temperature, {.min = 0}, "Divides the logits; 0 takes the likeliest token");
  verb.integer("--top-k", options.top_k, {.min = 0}, "Sample from the K likeliest tokens; 0 is all");
  verb.number("--top-p", options.top_p, {.min = 0, .max = 1}, "Sample from the likeliest tokens that hold this much probability");
  verb.number("--min-p", options.min_p, {.min = 0, .max = 1}, "Drop tokens less likely than this part of the likeliest");
  verb.number("--repetition-penalty", options.repetition_penalty, {.min = 1e-3}, "Lowers the score of tokens that occurred; 1 is off");
  verb.integer("--num-beams", options.num_beams, {.min = 1}, "Continuations to keep at once; more than 1 searches for the likeliest instead of drawing");
  verb.number("--length-penalty", options.length_penalty, {}, "With beams: rank by log-probability / length^X; above 0 favours long ones");
  verb.integer("--no-repeat-ngram", options.no_repeat_ngram, {.min = 0}, "With beams or a source: no N tokens in a row come twice; 0 is off");
  verb.flag("--chat", options.chat, "Answer the prompt as a message, written down by the model's chat template; a saved state is a conversation to go on with")
      .excludes("--source")
      .excludes("--source-file")
      .excludes("--num-beams");
  verb.values("--stop", options.stop, Kind::text, "Stop before this text");
  verb.integer("--seed", options.seed, {.min = 0}, "Seed of the sampling; default: a new one, printed with --verbose");
  verb.value("--state-in", options.state_in, Kind::file, "Continue from a saved state");
  verb.value("--state-out", options.state_out, Kind::file, "Save the state after the last token");
  verb.json(options.json).compute(options.compute);
  verb.example("everlong generate runs/first --prompt 'Once upon a time' --temperature 0.8 --top-p 0.95");
  verb.example("everlong generate runs/first --prompt-file book.txt --max-tokens 0 --state-out book.state");
  verb.example("everlong generate runs/first --state-in book.state --prompt 'The moral:'");
  verb.example("everlong generate runs/chat --chat --prompt 'Who wrote Persuasion?' --state-out talk.state");
  verb.example("everlong generate summarizer --source-file report.txt --num-beams 4 --no-repeat-ngram 3");
  return verb;
}

}  // namespace everlong::app
