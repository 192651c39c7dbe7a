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

/// What a sequence classifier reads: the first token, or the mean over all that are not padding.
enum class ClassifierPooling { first, mean };
/// What it is made of. tanh, as Hugging Face: dropout, tanh(Linear), dropout, Linear. gelu, as MEGA's authors: gelu(dropout(Linear)), Linear without
/// a bias, Xavier's initial values.
enum class ClassifierActivation { tanh, gelu };
/// Two texts: as one sequence, or each by itself through the same model, the second one's pooled state before the first one's.
enum class ClassifierPairs { joined, separate };

inline constexpr std::array<std::pair<std::string_view, ClassifierPooling>, 2> kPoolingNames{
    {{"first", ClassifierPooling::first}, {"mean", ClassifierPooling::mean}}};
inline constexpr std::array<std::pair<std::string_view, ClassifierActivation>, 2> kClassifierActivationNames{
    {{"tanh", ClassifierActivation::tanh}, {"gelu", ClassifierActivation::gelu}}};
inline constexpr std::array<std::pair<std::string_view, ClassifierPairs>, 2> kPairsNames{
    {{"joined", ClassifierPairs::joined}, {"separate", ClassifierPairs::separate}}};

/// How the head of a sequence classifier is built; the defaults are the public class's.
struct ClassifierConfig {
  ClassifierPooling pooling = ClassifierPooling::first;
  ClassifierActivation activation = ClassifierActivation::tanh;
  std::optional<int64_t> hidden_size;  ///< width between its two matrices; null = the model's
  ClassifierPairs pairs = ClassifierPairs::joined;
  std::optional<double>
      pixel_std;  ///< set: tokens are pixels v of 0 to 255, embedded as (v / 255 - pixel_mean) / pixel_std times a vector plus a vector
  double pixel_mean = 0.5;

  [[nodiscard]] bool reads_pixels() const { return pixel_std.has_value(); }
  [[nodiscard]] bool operator==(const ClassifierConfig&) const = default;
};

/// The part of a public config.json that belongs to the task and not to the architecture.
struct TaskConfig {
  int64_t num_labels = 2;
  ProblemType problem_type = ProblemType::automatic;
  std::optional<double> classifier_dropout;  ///< null = the architecture's own
  ClassifierConfig classifier = {};          ///< not known to the public classes
  std::vector<std::string> label_names;      ///< "id2label"; empty or num_labels names

  [[nodiscard]] Fields fields();             ///< bound to this object; without label_names
  [[nodiscard]] Fields classifier_fields();  ///< of fields(), those that are not known to the public classes
  [[nodiscard]] std::string label_name(int64_t label) const;

  /// Keys with values that the public classes do not know, as "key = value".
  [[nodiscard]] std::vector<std::string> unknown_to_public_code() const;
};

/// The keys of a classifier, bound to `config`. For the configuration of a run too.
[[nodiscard]] Fields classifier_shape_fields(ClassifierConfig& config);

}  // namespace everlong::models
