#pragma once
// How well a head does on labelled files, in the scores that its task is known by.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "everlong/train/predict.h"

namespace everlong::train {

/// Scores of one file, the one that counts first:
///   classification         accuracy, f1 (of class 1 where there are two, else the mean over classes), matthews, loss
///   multi_label            f1 (all decisions together), accuracy (all classes of an example right), loss
///   regression             pearson, spearman, mse
///   token classification   accuracy, f1 (mean over classes); words that were cut off do not count
///   multiple choice        accuracy, loss
///   question answering     f1, exact_match
///   masked language model  loss, perplexity, accuracy
/// Losses are nats a decision; all other scores are in [0, 1] or [-1, 1], but perplexity and mse.
struct TaskEvaluation {
  std::string file;
  int64_t examples = 0;
  std::vector<std::pair<std::string, double>> scores;

  /// Errors   InvalidArgument naming the scores there are
  [[nodiscard]] double score(std::string_view name) const;
};

/// Whether a smaller value of a score is the better one.
[[nodiscard]] bool smaller_is_better(std::string_view score);

/// Errors   InvalidArgument if no example has a label
void require_labels(const TaskExamples& examples);

/// Compares predictions with the labels of their examples; examples without one do not count.
/// Errors   InvalidArgument if none has a label
[[nodiscard]] TaskEvaluation score_predictions(const TaskExamples& examples, std::span<const Prediction> predictions, data::Task task,
                                               const text::Tokenizer& tokenizer);

struct MaskedEvaluateOptions {
  int64_t batch_size = 8;
  int64_t max_examples = 0;  ///< 0 = all
  std::function<void(int64_t examples)> progress = {};
};

/// How well masked tokens are named, under the masks of epoch 0.
[[nodiscard]] TaskEvaluation evaluate_masked(models::MaskedLm& model, const MaskedText& text, std::string file, const MaskedEvaluateOptions& options = {});

}  // namespace everlong::train
