#include "everlong/models/task.h"

#include <algorithm>

#include <fmt/format.h>

#include "everlong/base/error.h"

namespace everlong::models {
namespace {

constexpr std::array<std::pair<std::string_view, ProblemType>, 4> kProblemTypes{
    {{"automatic", ProblemType::automatic},
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
  const Fields of_classifier = classifier_fields();
  for (const Field& field : of_classifier.all()) fields.append(field);
  return fields;
}

Fields TaskConfig::classifier_fields() {
  Fields fields = classifier_shape_fields(classifier);
  fields.add("pixel_mean", classifier.pixel_mean, "images: what is taken from v / 255")
      .add("pixel_std", classifier.pixel_std, "images: what the rest is divided by; null = tokens are tokens", {.min = 1e-6});
  return fields;
}

std::vector<std::string> TaskConfig::unknown_to_public_code() const {
  TaskConfig copy = *this, usual;
  const Fields fields = copy.classifier_fields(), defaults = usual.classifier_fields();
  std::vector<std::string> keys;
  for (const Field& field : fields.all()) {
    const std::string value = to_text(field.get());
    if (value != to_text(defaults.find(field.key)->get())) keys.push_back(fmt::format("{} = {}", field.key, value));
  }
  return keys;
}

Fields classifier_shape_fields(ClassifierConfig& config) {
  Fields fields;
  fields
      .add("classifier_pooling", config.pooling, "what a sequence classifier reads: the first token, or the mean over all",
           std::span<const std::pair<std::string_view, ClassifierPooling>>(kPoolingNames))
      .add("classifier_activation", config.activation,
           "tanh: the classifier of Hugging Face's classes; gelu: that of MEGA's authors, without a last bias",
           std::span<const std::pair<std::string_view, ClassifierActivation>>(kClassifierActivationNames))
      .add("classifier_hidden_size", config.hidden_size, "width inside a sequence classifier; null = hidden_size", {.min = 1})
      .add("classifier_pairs", config.pairs, "two texts: joined into one sequence, or separate and their pooled states side by side",
           std::span<const std::pair<std::string_view, ClassifierPairs>>(kPairsNames));
  return fields;
}

std::string TaskConfig::label_name(int64_t label) const {
  const auto index = static_cast<size_t>(label);
  return index < label_names.size() ? label_names[index] : fmt::format("LABEL_{}", label);
}

}  // namespace everlong::models
