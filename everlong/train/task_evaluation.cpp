#include "everlong/train/task_evaluation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/tensor/torch.h"
#include "everlong/train/scores.h"

namespace everlong::train {
namespace {

using Scores = std::vector<std::pair<std::string, double>>;

constexpr double kLeast = 1e-300;  // a probability of 0 would cost infinitely much
constexpr int64_t kPlacesAtOnce = 256;

double mean(const std::vector<double>& values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Pairs of what was predicted and what is right, with the cost of each.
struct Decisions {
  std::vector<int64_t> predicted, expected;
  std::vector<double> nats;

  void add(int64_t guess, int64_t right, double probability) {
    predicted.push_back(guess);
    expected.push_back(right);
    nats.push_back(-std::log(std::max(probability, kLeast)));
  }
};

Scores score_classes(const Decisions& all, size_t num_classes) {
  const double f1 = num_classes == 2 ? f1_binary(all.predicted, all.expected) : f1_macro(all.predicted, all.expected);
  return {{"accuracy", accuracy(all.predicted, all.expected)},
          {"f1", f1},
          {"matthews", matthews_correlation(all.predicted, all.expected)},
          {"loss", mean(all.nats)}};
}

Scores score_sequences(const TaskExamples& examples, std::span<const Prediction> predictions, data::Task task) {
  Decisions all;
  for (size_t i = 0; i < predictions.size(); ++i) {
    if (!examples.texts[i].has_label) continue;
    const int64_t right = examples.encoded[i].targets.at(0);
    all.add(predictions[i].best, right, predictions[i].scores.at(static_cast<size_t>(right)));
  }
  if (task == data::Task::classification) return score_classes(all, predictions[0].scores.size());
  return {{"accuracy", accuracy(all.predicted, all.expected)}, {"loss", mean(all.nats)}};
}

Scores score_labels(const TaskExamples& examples, std::span<const Prediction> predictions) {
  Decisions all;
  std::vector<double> whole;
  for (size_t i = 0; i < predictions.size(); ++i) {
    if (!examples.texts[i].has_label) continue;
    bool right = true;
    for (size_t k = 0; k < predictions[i].scores.size(); ++k) {
      const double probability = predictions[i].scores[k];
      const int64_t guess = probability > 0.5, expected = examples.encoded[i].targets.at(k);
      all.add(guess, expected, expected == 1 ? probability : 1 - probability);
      right = right && guess == expected;
    }
    whole.push_back(right ? 1 : 0);
  }
  return {{"f1", f1_binary(all.predicted, all.expected)}, {"accuracy", mean(whole)}, {"loss", mean(all.nats)}};
}

Scores score_values(const TaskExamples& examples, std::span<const Prediction> predictions) {
  std::vector<double> predicted, expected;
  for (size_t i = 0; i < predictions.size(); ++i) {
    if (!examples.texts[i].has_label) continue;
    predicted.push_back(predictions[i].scores.at(0));
    expected.push_back(examples.texts[i].value);
  }
  return {{"pearson", pearson_correlation(predicted, expected)},
          {"spearman", spearman_correlation(predicted, expected)},
          {"mse", mean_squared_error(predicted, expected)}};
}

Scores score_words(const TaskExamples& examples, std::span<const Prediction> predictions) {
  Decisions all;
  for (size_t i = 0; i < predictions.size(); ++i) {
    if (!examples.texts[i].has_label) continue;
    size_t word = 0;
    for (const int64_t target : examples.encoded[i].targets) {
      if (target == data::kNoLabel) continue;
      all.predicted.push_back(predictions[i].word_classes[word++]);
      all.expected.push_back(target);
    }
  }
  return {{"accuracy", accuracy(all.predicted, all.expected)}, {"f1", f1_macro(all.predicted, all.expected)}};
}

Scores score_answers(const TaskExamples& examples, std::span<const Prediction> predictions, const text::Tokenizer& tokenizer) {
  std::vector<double> f1, exact;
  for (size_t i = 0; i < predictions.size(); ++i) {
    const data::LabelledExample& example = examples.texts[i];
    if (!example.has_label) continue;
    const std::string answer = answer_text(tokenizer, example.text_b.value_or(""), predictions[i]);
    const std::vector<std::string> references = example.answers.empty() ? std::vector<std::string>{""} : example.answers;
    f1.push_back(token_f1(answer, references));
    exact.push_back(exact_match(answer, references));
  }
  return {{"f1", mean(f1)}, {"exact_match", mean(exact)}};
}

}  // namespace

double TaskEvaluation::score(std::string_view name) const {
  std::string known;
  for (const auto& [key, value] : scores) {
    if (key == name) return value;
    known += (known.empty() ? "" : ", ") + key;
  }
  throw InvalidArgument({.where = "train.metric", .expected = "one of " + known, .got = std::string(name)});
}

bool smaller_is_better(std::string_view score) { return score == "loss" || score == "perplexity" || score == "mse"; }

void require_labels(const TaskExamples& examples) {
  const bool has = std::any_of(examples.texts.begin(), examples.texts.end(), [](const auto& example) { return example.has_label; });
  require(has, [&] {
    return Complaint{.where = examples.file, .expected = "examples with labels", .got = fmt::format("{} without", examples.texts.size())};
  });
}

TaskEvaluation score_predictions(const TaskExamples& examples, std::span<const Prediction> predictions, data::Task task,
                                 const text::Tokenizer& tokenizer) {
  TaskEvaluation evaluation{.file = examples.file};
  for (const data::LabelledExample& example : examples.texts) evaluation.examples += example.has_label ? 1 : 0;
  require_labels(examples);
  switch (task) {
    case data::Task::classification:
    case data::Task::multiple_choice: evaluation.scores = score_sequences(examples, predictions, task); break;
    case data::Task::multi_label: evaluation.scores = score_labels(examples, predictions); break;
    case data::Task::regression: evaluation.scores = score_values(examples, predictions); break;
    case data::Task::token_classification: evaluation.scores = score_words(examples, predictions); break;
    case data::Task::question_answering: evaluation.scores = score_answers(examples, predictions, tokenizer); break;
  }
  return evaluation;
}

TaskEvaluation evaluate_masked(models::MaskedLm& model, const MaskedText& text, std::string file, const MaskedEvaluateOptions& options) {
  const at::NoGradGuard no_grad;
  model.eval();
  const at::Device device = model.model().embedding_weight().device();
  const auto available = static_cast<int64_t>(text.lens().size());
  TaskEvaluation evaluation{.file = std::move(file), .examples = options.max_examples > 0 ? std::min(available, options.max_examples) : available};
  double nats = 0, right = 0;
  int64_t places = 0;
  for (int64_t begin = 0; begin < evaluation.examples; begin += options.batch_size) {
    std::vector<int64_t> numbers(static_cast<size_t>(std::min(options.batch_size, evaluation.examples - begin)));
    std::iota(numbers.begin(), numbers.end(), begin);
    const TaskBatch batch = text.batch(numbers, 0, device).batch;
    const at::Tensor where = batch.labels.values.ne(data::kNoLabel).nonzero();
    for (int64_t at = 0; at < where.size(0); at += kPlacesAtOnce) {
      const at::Tensor slice = where.narrow(0, at, std::min(kPlacesAtOnce, where.size(0) - at));
      const at::Tensor rows = slice.select(1, 0), columns = slice.select(1, 1), targets = batch.labels.values.index({rows, columns});
      const at::Tensor logits = model.logits_at(batch.input, rows, columns).to(at::kFloat);
      nats += at::cross_entropy_loss(logits, targets, {}, at::Reduction::Sum).item<double>();
      right += logits.argmax(-1).eq(targets).sum().item<double>();
      places += slice.size(0);
    }
    if (options.progress) options.progress(begin + static_cast<int64_t>(numbers.size()));
  }
  const auto count = static_cast<double>(std::max<int64_t>(1, places));
  evaluation.scores = {{"loss", nats / count}, {"perplexity", std::exp(nats / count)}, {"accuracy", right / count}};
  return evaluation;
}

}  // namespace everlong::train
