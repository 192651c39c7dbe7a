#pragma once
// What a head says of examples: classes, values, choices, answers, tokens behind masks.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/models/heads/masked_lm.h"
#include "everlong/train/task_data.h"

namespace everlong::train {

/// What is predicted of one example. Which members are set depends on the task.
struct Prediction {
  std::vector<double> scores;         ///< probability of each class or choice; of multi_label each by itself; of regression the values
  int64_t best = 0;                   ///< class or choice with the highest score
  std::vector<int64_t> word_classes;  ///< token classification: of each word; kNoLabel for words that were cut off
  std::vector<double> word_scores;    ///< probability of that class
  int64_t first = 0, last = 0;        ///< question answering: tokens of the answer, counted from the context's first; last < first: no answer
  double answer_score = 0;            ///< probability of its first token times that of its last
};

struct PredictOptions {
  int64_t batch_size = 16;
  int64_t max_answer_tokens = 30;
  std::function<void(int64_t examples)> progress = {};  ///< examples done
};

/// Predicts all examples, in batches of sequences of like length. The order of the results is that of the examples.
/// Errors   InvalidArgument as the head's outputs()
[[nodiscard]] std::vector<Prediction> predict(models::TaskHead& head, const TaskExamples& examples, data::Task task, const SequenceRoles& roles,
                                              const PredictOptions& options = {});

/// The text of an answer; empty where there is none.
/// Errors   Unsupported if the tokens of the context do not spell it byte by byte
[[nodiscard]] std::string answer_text(const text::Tokenizer& tokenizer, std::string_view context, const Prediction& prediction);

/// One token that may stand behind a mask.
struct MaskFill {
  int32_t token = 0;
  double score = 0;  ///< probability
};

/// The likeliest `top_k` tokens of each mask of a text, best first.
/// Errors   InvalidArgument if the text has no mask token, or the tokenizer none
[[nodiscard]] std::vector<std::vector<MaskFill>> fill_masks(models::MaskedLm& model, const text::Tokenizer& tokenizer, std::string_view text,
                                                            int64_t top_k);

}  // namespace everlong::train
