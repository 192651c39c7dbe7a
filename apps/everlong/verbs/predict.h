#pragma once
// everlong predict: options and their declaration; the options that evaluation with labels shares.

#include <cstdint>
#include <optional>
#include <string>

#include "apps/everlong/syntax.h"

namespace everlong::app {

/// Tasks with labelled examples, and the masked language model, which makes its own.
enum class LabelledTask { sequence_classification, token_classification, multiple_choice, question_answering, masked_lm };

/// How a file of examples is read.
struct ExampleOptions {
  std::string text_column, text_b_column, label_column;  ///< empty = found by the usual names
  std::optional<int64_t> max_len;                        ///< none = what the model says
  int64_t batch_size = 16;

  void declare(Syntax& verb);
};

struct PredictOptions {
  std::string model;
  std::optional<LabelledTask> task;  ///< none = what the model was saved for
  std::string file;
  std::string out;  ///< empty = standard output
  ExampleOptions examples;
  bool json = false;
  ComputeOptions compute;
};

Syntax declare_predict(Syntax& program, PredictOptions& options);

/// All tasks, or those that have predictions of examples.
[[nodiscard]] Names<LabelledTask> evaluated_tasks();
[[nodiscard]] Names<LabelledTask> predicted_tasks();

}  // namespace everlong::app
