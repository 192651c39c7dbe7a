#include "apps/everlong/verbs/predict.h"

#include <array>

namespace everlong::app {
namespace {

constexpr std::array<std::pair<std::string_view, LabelledTask>, 5> kTasks{{{"sequence-classification", LabelledTask::sequence_classification},
                                                                          {"token-classification", LabelledTask::token_classification},
                                                                          {"multiple-choice", LabelledTask::multiple_choice},
                                                                          {"question-answering", LabelledTask::question_answering},
                                                                          {"masked-lm", LabelledTask::masked_lm}}};

}  // namespace

Names<LabelledTask> evaluated_tasks() { return kTasks; }
Names<LabelledTask> predicted_tasks() { return Names<LabelledTask>(kTasks).first(4); }

void ExampleOptions::declare(Syntax& verb) {
  verb.value("--text-column", text_column, Kind::text, "Column or key of the first text; default: the usual names");
  verb.value("--text-b-column", text_b_column, Kind::text, "Column or key of the second text");
  verb.value("--label-column", label_column, Kind::text, "Column or key of the label");
  verb.integer("--max-len", max_len, {.min = 4}, "Tokens an example, the rest is cut off; default: what the model says");
  verb.integer("--batch-size", batch_size, {.min = 1, .max = 65536}, "Examples a call");
}

Syntax declare_predict(Syntax& program, PredictOptions& options) {
  Syntax verb = program.verb("predict", "Predict classes, values, choices or answers for the examples of a file");
  verb.value("MODEL", options.model, Kind::path, "Model directory or run").required();
  verb.value("FILE", options.file, Kind::file, "Examples: .tsv with named columns or .jsonl, also .gz or .zst; labels are not needed").required();
  verb.choice("--task", options.task, predicted_tasks(), "What to predict; default: what the model was trained for");
  verb.value("-o,--out", options.out, Kind::file, "Write one JSON object a line here instead of standard output");
  options.examples.declare(verb);
  verb.json(options.json).compute(options.compute);
  verb.example("everlong predict runs/reviews new.tsv --task sequence-classification -o predicted.jsonl");
  verb.example("everlong predict runs/answers questions.jsonl --json");
  return verb;
}

}  // namespace everlong::app
