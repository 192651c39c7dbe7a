#include "everlong/train/task_objective.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/models/model_directory.h"
#include "everlong/tensor/torch.h"
#include "everlong/train/setup.h"

namespace everlong::train {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> paths_of(const std::vector<std::string>& names) { return {names.begin(), names.end()}; }

bool has_classes(models::Task task, models::ProblemType problem) {
  return task == models::Task::token_classification || (task == models::Task::sequence_classification && problem != models::ProblemType::regression);
}

TaskDataOptions data_options(const TrainConfig& config, data::Task task) {
  return {.task = task,
          .text_column = config.data.text_column,
          .text_b_column = config.data.text_b_column,
          .label_column = config.data.label_column,
          .max_len = config.data.max_len,
          .require_label = true,
          .separate_texts = config.train.classifier.pairs == models::ClassifierPairs::separate,
          .pixels = config.train.classifier.reads_pixels()};
}

std::vector<fs::path> all_files(const TrainConfig& config) {
  std::vector<fs::path> files = paths_of(config.data.train);
  files.insert(files.end(), config.data.eval.begin(), config.data.eval.end());
  return files;
}

/// Where the files are images: the model reads pixels and needs no vocabulary.
void settle_images(TrainConfig& config) {
  if (!are_images(all_files(config))) return;
  const bool fits =
      config.train.task == models::Task::sequence_classification &&
      (config.train.problem_type == models::ProblemType::automatic || config.train.problem_type == models::ProblemType::single_label_classification);
  require(fits, [&] {
    return Complaint{.where = "data.train",
                     .expected = "sequence-classification with one class an image",
                     .got = std::string(models::task_name(config.train.task))};
  });
  config.train.classifier.pixel_mean = config.data.pixel_mean;
  config.train.classifier.pixel_std = config.data.pixel_std;
  config.data.tokenizer = "bytes";  // a name for what is never asked
  if (!config.init.empty()) return;
  config.model->set_vocabulary(1);
  const Fields fields = config.model->fields();
  for (const char* key : {"pad_token_id", "bos_token_id", "eos_token_id"})
    if (const Field* field = fields.find(key)) field->set(int64_t{-1});
}

/// The classes of the training and evaluation files; in the order of model.init where it has the same ones.
data::LabelMap find_labels(const TrainConfig& config, data::Task task) {
  TaskDataOptions options = data_options(config, task);
  options.require_label = false;
  data::LabelMap found = collect_task_labels(all_files(config), options);
  require(found.size() >= 2 || task == data::Task::multi_label,
          [&] { return Complaint{.where = "data.train", .expected = "labels of at least two classes", .got = fmt::format("{}", found.size())}; });
  if (config.init.empty() || !fs::exists(config.init)) return found;
  const std::vector<std::string> saved = models::load_config(resolve_model_path(config.init)).task_config.label_names;
  const bool same = std::is_permutation(saved.begin(), saved.end(), found.names().begin(), found.names().end());
  return same ? data::LabelMap(saved) : found;
}

models::TaskConfig make_task_config(const TrainConfig& config, models::ProblemType problem, const data::LabelMap& labels) {
  models::TaskConfig task{.classifier_dropout = config.train.classifier_dropout, .classifier = config.train.classifier};
  if (config.train.task == models::Task::sequence_classification) task.problem_type = problem;
  if (problem == models::ProblemType::regression && config.train.task == models::Task::sequence_classification) task.num_labels = 1;
  if (labels.size() == 0) return task;
  task.num_labels = labels.size();
  task.label_names = labels.names();
  return task;
}

}  // namespace

TaskObjective::TaskObjective(TrainConfig& config, const RunDirectory& directory, bool load_initial, const Message& message)
    : batch_size_(config.data.batch_size), pad_to_multiple_(config.data.pad_to_multiple), metric_(config.train.metric) {
  settle_images(config);
  tokenizer_ = prepare_tokenizer(config, directory);
  if (!config.train.classifier.reads_pixels()) {
    settle_vocabulary(*tokenizer_, config);
    if (config.init.empty()) adopt_tokenizer(*tokenizer_, *config.model);
    roles_ = sequence_roles(*tokenizer_, *config.model);
  }
  const models::Task task = config.train.task;
  const models::ProblemType problem =
      config.train.problem_type == models::ProblemType::automatic ? models::ProblemType::single_label_classification : config.train.problem_type;
  data::LabelMap labels;
  if (task != models::Task::masked_lm) {
    data_task_ = data_task(task, problem);
    if (has_classes(task, problem)) labels = find_labels(config, data_task_);
  }
  at::manual_seed(static_cast<uint64_t>(config.train.seed));
  model_ = models::make_head(*config.model, task, make_task_config(config, problem, labels));
  if (load_initial) load_initial_weights(*model_, config.init, message);
  prepare_model(*model_, config.train);
  if (task == models::Task::masked_lm)
    read_masked(config);
  else
    read_labelled(config, labels);
  check_metric();
}

void TaskObjective::read_masked(const TrainConfig& config) {
  const auto seed = static_cast<uint64_t>(config.train.seed);
  const MaskedTextOptions options{.masking = {.ratio = config.data.mask_ratio, .whole_words = config.data.whole_words, .seed = seed},
                                  .max_len = config.data.max_len,
                                  .pad_to_multiple = pad_to_multiple_};
  masked_ = std::make_unique<MaskedText>(paths_of(config.data.train), *tokenizer_, roles_, options);
  for (const std::string& file : config.data.eval) {
    const fs::path path = file;
    masked_eval_.emplace_back(file, std::make_unique<MaskedText>(std::span(&path, 1), *tokenizer_, roles_, options));
  }
  order_ = std::make_unique<data::ExampleOrder>(masked_->lens(), data::ExampleOrderOptions{.batch_size = batch_size_, .seed = seed});
}

void TaskObjective::read_labelled(const TrainConfig& config, const data::LabelMap& labels) {
  const TaskDataOptions options = data_options(config, data_task_);
  std::vector<int64_t> lens;
  for (const std::string& file : config.data.train) {
    TaskExamples read = read_task_examples(file, *tokenizer_, roles_, labels, options);
    for (data::EncodedExample& example : read.encoded) {
      lens.push_back(example.max_len());
      examples_.push_back(std::move(example));
    }
  }
  for (const std::string& file : config.data.eval) labelled_eval_.push_back(read_task_examples(file, *tokenizer_, roles_, labels, options));
  order_ = std::make_unique<data::ExampleOrder>(
      std::move(lens), data::ExampleOrderOptions{.batch_size = batch_size_, .seed = static_cast<uint64_t>(config.train.seed)});
}

/// The first score of each task is its usual one. A wrong name is worth finding before hours of training.
void TaskObjective::check_metric() {
  std::vector<std::string> known;
  if (masked_) {
    known = {"loss", "perplexity", "accuracy"};
  } else {
    switch (data_task_) {
      case data::Task::classification:
        known = {"accuracy", "f1", "matthews", "loss"};
        break;
      case data::Task::multi_label:
        known = {"f1", "accuracy", "loss"};
        break;
      case data::Task::regression:
        known = {"pearson", "spearman", "mse"};
        break;
      case data::Task::token_classification:
        known = {"accuracy", "f1"};
        break;
      case data::Task::multiple_choice:
        known = {"accuracy", "loss"};
        break;
      case data::Task::question_answering:
        known = {"f1", "exact_match"};
        break;
    }
  }
  if (metric_.empty()) metric_ = known.front();
  std::string listed;
  for (const std::string& name : known) listed += (listed.empty() ? "" : ", ") + name;
  require(std::find(known.begin(), known.end(), metric_) != known.end(),
          [&] { return Complaint{.where = "train.metric", .expected = "one of " + listed, .got = metric_}; });
}

TaskBatch TaskObjective::next_batch() {
  const int64_t epoch = order_->position().epoch;
  const std::vector<int64_t> numbers = order_->next();
  const at::Device device = model_->model().embedding_weight().device();
  if (masked_) return masked_->batch(numbers, epoch + 1, device).batch;  // the masks of epoch 0 are those of evaluation
  return task_batch(data::collate(examples_, numbers, data_task_, {.pad_id = roles_.pad, .multiple = pad_to_multiple_}), data_task_, device);
}

Objective::BatchLoss TaskObjective::next_loss() {
  const TaskBatch batch = next_batch();
  return {.mean = model_->task_loss(batch.input, batch.labels), .count = batch.input.valid->sum().item<int64_t>()};
}

io::Json TaskObjective::position() const { return data::to_json(order_->position()); }

void TaskObjective::seek(const io::Json& position, std::string_view file_name) {
  order_->seek(data::example_position_from_json(position, file_name));
}

RunEvaluation TaskObjective::evaluate(int64_t step, MetricsLog& metrics, const Message& message) {
  RunEvaluation found;
  for (const auto& [file, text] : masked_eval_)
    found.tasks.push_back(evaluate_masked(static_cast<models::MaskedLm&>(*model_), *text, file, {.batch_size = batch_size_}));
  for (const TaskExamples& examples : labelled_eval_) {
    const auto predictions = predict(*model_, examples, data_task_, roles_, {.batch_size = batch_size_});
    found.tasks.push_back(score_predictions(examples, predictions, data_task_, *tokenizer_));
  }
  for (const TaskEvaluation& evaluation : found.tasks) {
    metrics.add(step, evaluation, models::task_name(model_->task()));
    std::string scores;
    for (const auto& [name, value] : evaluation.scores) scores += fmt::format("{}{} {:.4f}", scores.empty() ? "" : ", ", name, value);
    if (message) message(fmt::format("step {}: {} {}", step, evaluation.file, scores));
  }
  return found;
}

std::optional<double> TaskObjective::metric_of(const RunEvaluation& evaluation) const {
  if (evaluation.tasks.empty()) return std::nullopt;
  double sum = 0;
  for (const TaskEvaluation& one : evaluation.tasks) sum += one.score(metric_);
  return sum / static_cast<double>(evaluation.tasks.size());
}

}  // namespace everlong::train
