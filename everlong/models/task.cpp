#include "everlong/models/task.h"

#include <algorithm>

#include <fmt/format.h>

#include "everlong/base/error.h"

namespace everlong::models {
namespace {

constexpr std::array<std::pair<std::string_view, ProblemType>, 4> kProblemTypes{{{"automatic", ProblemType::automatic},
                                                                                 {"regression", ProblemType::regression},
                                                                                 {"single_label_classification", ProblemType::single_label_classification},
                                                                                 {"multi_label_classification", ProblemType::multi_label_classification}}};

}  // namespace

std::string_view task_name(Task task) {
  return std::find_if(kTaskNames.begin(), kTaskNames.end(), [&](const auto& entry) { return entry.second == task; })->first;
}

Task task_named(std::string_view name) {
  const auto found = std::find_if(kTaskNames.begin(), kTaskNames.end(), [&](const auto& entry) { return entry.first == name; });
  if (found != kTaskNames.end()) return found->second;
  std::string known;
  for (const auto& entry : kTaskNames) known += (known.empty() ? "" : ", ") + std::string(entry.first);
  throw InvalidArgument({.where = "task", .expected = "one of " + known, .got = std::string(name)});
}

Fields TaskConfig::fields() {
  Fields fields;
  fields.add("num_labels", num_labels, "classes or values that a classifier gives", {.min = 1})
      .add("problem_type", problem_type, "what sequence labels mean", std::span<const std::pair<std::string_view, ProblemType>>(kProblemTypes))
      .add("classifier_dropout", classifier_dropout, "dropout before classifiers; null = the model's hidden_dropout_prob", {.min = 0, .max = 0.999});
  return fields;
}

std::string TaskConfig::label_name(int64_t label) const {
  const auto index = static_cast<size_t>(label);
  return index < label_names.size() ? label_names[index] : fmt::format("LABEL_{}", label);
}

}  // namespace everlong::models
