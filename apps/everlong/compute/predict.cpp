#include "everlong/train/predict.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/everlong/compute/runs.h"
#include "apps/everlong/compute/tasks.h"
#include "apps/everlong/guard.h"
#include "apps/everlong/output.h"
#include "apps/everlong/progress.h"
#include "everlong/io/atomic_file.h"

namespace everlong::app {
namespace {

using Json = nlohmann::ordered_json;

std::string line_of(const Json& object) { return object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }

void add_words(Json& object, const data::LabelledExample& text, const train::Prediction& prediction, const models::TaskConfig& config) {
  object["words"] = text.words;
  object["labels"] = Json::array();
  object["scores"] = prediction.word_scores;
  for (const int64_t label : prediction.word_classes)
    object["labels"].push_back(label == data::kNoLabel ? Json() : Json(config.label_name(label)));
}

void add_classes(Json& object, const train::Prediction& prediction, data::Task task, const models::TaskConfig& config) {
  if (task == data::Task::multi_label) {
    object["labels"] = Json::array();
    for (size_t i = 0; i < prediction.scores.size(); ++i)
      if (prediction.scores[i] > 0.5) object["labels"].push_back(config.label_name(static_cast<int64_t>(i)));
  } else {
    object["label"] = config.label_name(prediction.best);
  }
  object["scores"] = Json::object();
  for (size_t i = 0; i < prediction.scores.size(); ++i) object["scores"][config.label_name(static_cast<int64_t>(i))] = prediction.scores[i];
}

Json as_json(const data::LabelledExample& text, const train::Prediction& prediction, data::Task task, const LoadedTask& loaded) {
  Json object = {{"line", text.line}};
  const models::TaskConfig& config = loaded.model->task_config();
  switch (task) {
    case data::Task::classification:
    case data::Task::multi_label: add_classes(object, prediction, task, config); break;
    case data::Task::regression:
      if (prediction.scores.size() == 1) object["value"] = prediction.scores[0];
      else object["values"] = prediction.scores;
      break;
    case data::Task::multiple_choice:
      object["choice"] = prediction.best;
      object["scores"] = prediction.scores;
      break;
    case data::Task::token_classification: add_words(object, text, prediction, config); break;
    case data::Task::question_answering:
      object["answer"] = train::answer_text(*loaded.tokenizer, text.text_b.value_or(""), prediction);
      object["score"] = prediction.answer_score;
      break;
  }
  return object;
}

}  // namespace

int run_predict(const PredictOptions& options) {
  const auto task = options.task ? std::optional(model_task(*options.task)) : std::nullopt;
  const LoadedTask loaded = load_task(options.model, task, options.compute);
  const data::Task kind = data_task_of(*loaded.model);
  const train::TaskExamples examples = read_examples(loaded, options.file, options.examples);
  Progress progress;
  train::PredictOptions predict{.batch_size = options.examples.batch_size};
  const auto total = static_cast<int64_t>(examples.texts.size());
  predict.progress = [&](int64_t done) { progress.update({.step = done, .total_steps = total}); };
  const auto predictions = train::predict(*loaded.model, examples, kind, loaded.roles, predict);
  progress.clear();
  std::string lines;
  for (size_t i = 0; i < predictions.size(); ++i) lines += line_of(as_json(examples.texts[i], predictions[i], kind, loaded));
  if (options.out.empty()) {
    print(lines);
    return kSuccess;
  }
  io::atomic_write_text(options.out, lines);
  if (options.json) print(line_of({{"out", options.out}, {"task", models::task_name(loaded.model->task())}, {"examples", total}}));
  else print(fmt::format("{}: {} predictions\n", printable(options.out), total));
  return kSuccess;
}

}  // namespace everlong::app
