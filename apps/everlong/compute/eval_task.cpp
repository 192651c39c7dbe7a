#include "apps/everlong/compute/eval_task.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/everlong/compute/tasks.h"
#include "apps/everlong/guard.h"
#include "apps/everlong/output.h"
#include "apps/everlong/progress.h"
#include "everlong/models/heads/masked_lm.h"
#include "everlong/train/task_evaluation.h"

namespace everlong::app {
namespace {

train::TaskEvaluation evaluate_file(const LoadedTask& loaded, const std::string& file, const EvalOptions& options, Progress& progress) {
  const auto show = [&](int64_t done) { progress.update({.step = done}); };
  if (loaded.model->task() == models::Task::masked_lm) {
    const std::filesystem::path path = file;
    const train::MaskedTextOptions text_options{.masking = {.ratio = options.mask_ratio},
                                                .max_len = options.examples.max_len.value_or(train::sequence_limit(loaded.model->config()))};
    const train::MaskedText text({&path, 1}, *loaded.tokenizer, loaded.roles, text_options);
    return train::evaluate_masked(static_cast<models::MaskedLm&>(*loaded.model), text, file,
                                  {.batch_size = options.examples.batch_size, .progress = show});
  }
  const train::TaskExamples examples = read_examples(loaded, file, options.examples);
  train::require_labels(examples);
  const data::Task task = data_task_of(*loaded.model);
  const auto predictions = train::predict(*loaded.model, examples, task, loaded.roles, {.batch_size = options.examples.batch_size, .progress = show});
  return train::score_predictions(examples, predictions, task, *loaded.tokenizer);
}

nlohmann::ordered_json as_json(const train::TaskEvaluation& evaluation) {
  nlohmann::ordered_json object = {{"file", evaluation.file}, {"examples", evaluation.examples}};
  for (const auto& [name, value] : evaluation.scores) object[name] = value;
  return object;
}

}  // namespace

int run_eval_task(const EvalOptions& options) {
  const LoadedTask loaded = load_task(options.model, model_task(*options.task), options.compute);
  Progress progress;
  std::vector<train::TaskEvaluation> all;
  for (const std::string& file : options.files) all.push_back(evaluate_file(loaded, file, options, progress));
  progress.clear();
  if (options.json) {
    nlohmann::ordered_json object = {{"model", loaded.folder.string()}, {"task", models::task_name(loaded.model->task())}};
    object["files"] = nlohmann::ordered_json::array();
    for (const auto& evaluation : all) object["files"].push_back(as_json(evaluation));
    print(object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
    return kSuccess;
  }
  std::vector<Table::Column> columns = {{.title = "file"}, {.title = "examples", .align = Align::right}};
  for (const auto& score : all.front().scores) columns.push_back({.title = score.first, .align = Align::right});
  Table table(columns);
  for (const auto& evaluation : all) {
    std::vector<std::string> cells = {printable(evaluation.file), fmt::format("{}", evaluation.examples)};
    for (const auto& score : evaluation.scores) cells.push_back(fmt::format("{:.4f}", score.second));
    table.add_row(std::move(cells));
  }
  print(table.text());
  return kSuccess;
}

}  // namespace everlong::app
