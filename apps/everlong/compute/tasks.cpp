#include "apps/everlong/compute/tasks.h"

#include "apps/everlong/compute/common.h"
#include "everlong/base/log.h"
#include "everlong/models/model_directory.h"
#include "everlong/tensor/torch.h"
#include "everlong/train/run_directory.h"

namespace everlong::app {

LoadedTask load_task(const std::string& path, std::optional<models::Task> task, const ComputeOptions& options, const std::string& silent) {
  LoadedTask loaded{.folder = train::resolve_model_path(path), .model = nullptr, .tokenizer = nullptr, .roles = {}, .in_file = {}};
  auto from_disk = models::load_head(loaded.folder, {.task = task});
  for (const std::string& note : from_disk.notes)
    if (silent.empty() || note.find(silent) == std::string::npos) log_warning(note);
  loaded.model = std::move(from_disk.model);
  loaded.in_file = std::move(from_disk.report.loaded);
  loaded.tokenizer = text::load_tokenizer(loaded.folder);
  if (!loaded.model->task_config().classifier.reads_pixels()) {
    require_vocabulary(*loaded.tokenizer, loaded.model->model(), loaded.folder);
    loaded.roles = train::sequence_roles(*loaded.tokenizer, loaded.model->config());
  }
  place_model(*loaded.model, options);
  return loaded;
}

models::Task model_task(LabelledTask task) {
  switch (task) {
    case LabelledTask::sequence_classification:
      return models::Task::sequence_classification;
    case LabelledTask::token_classification:
      return models::Task::token_classification;
    case LabelledTask::multiple_choice:
      return models::Task::multiple_choice;
    case LabelledTask::question_answering:
      return models::Task::question_answering;
    case LabelledTask::masked_lm:
      break;
  }
  return models::Task::masked_lm;
}

data::Task data_task_of(const models::TaskHead& model) { return train::data_task(model.task(), train::problem_of(model.task_config())); }

train::TaskExamples read_examples(const LoadedTask& loaded, const std::string& file, const ExampleOptions& options) {
  const models::TaskConfig& config = loaded.model->task_config();
  std::vector<std::string> names;
  for (int64_t label = 0; label < config.num_labels; ++label) names.push_back(config.label_name(label));
  return train::read_task_examples(file, *loaded.tokenizer, loaded.roles, data::LabelMap(names),
                                   {.task = data_task_of(*loaded.model),
                                    .text_column = options.text_column,
                                    .text_b_column = options.text_b_column,
                                    .label_column = options.label_column,
                                    .max_len = options.max_len.value_or(train::sequence_limit(loaded.model->config())),
                                    .separate_texts = config.classifier.pairs == models::ClassifierPairs::separate,
                                    .pixels = config.classifier.reads_pixels()});
}

}  // namespace everlong::app
