#pragma once
// What a model is asked to do, and what that takes beyond its architecture.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "everlong/base/config.h"

namespace everlong::models {

enum class Task { causal_lm, masked_lm, sequence_classification, token_classification, multiple_choice, question_answering, embedding };

inline constexpr std::array<std::pair<std::string_view, Task>, 7> kTaskNames{{{"causal-lm", Task::causal_lm},
                                                                              {"masked-lm", Task::masked_lm},
                                                                              {"sequence-classification", Task::sequence_classification},
                                                                              {"token-classification", Task::token_classification},
                                                                              {"multiple-choice", Task::multiple_choice},
                                                                              {"question-answering", Task::question_answering},
                                                                              {"embedding", Task::embedding}}};

[[nodiscard]] std::string_view task_name(Task task);
/// Errors   InvalidArgument for a name that is none, with those that exist
[[nodiscard]] Task task_named(std::string_view name);

/// How sequence labels are meant. automatic: one label is a regression, whole numbers are classes, anything else is several labels at once.
enum class ProblemType { automatic, regression, single_label_classification, multi_label_classification };

/// The part of a public config.json that belongs to the task and not to the architecture.
struct TaskConfig {
  int64_t num_labels = 2;
  ProblemType problem_type = ProblemType::automatic;
  std::optional<double> classifier_dropout;  ///< null = the architecture's own
  std::vector<std::string> label_names;      ///< "id2label"; empty or num_labels names

  [[nodiscard]] Fields fields();  ///< bound to this object; without label_names
  [[nodiscard]] std::string label_name(int64_t label) const;
};

}  // namespace everlong::models
