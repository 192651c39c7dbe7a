#pragma once
// What the verbs of tasks share: a model with the head of a task and its tokenizer, and labelled files read for it.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/everlong/options.h"
#include "apps/everlong/verbs/predict.h"
#include "everlong/models/heads/task_head.h"
#include "everlong/text/tokenizer.h"
#include "everlong/train/task_data.h"

namespace everlong::app {

struct LoadedTask {
  std::filesystem::path folder;  ///< the model directory itself, also where a run was named
  std::shared_ptr<models::TaskHead> model;
  std::shared_ptr<const text::Tokenizer> tokenizer;
  train::SequenceRoles roles;
  std::vector<std::string> in_file;  ///< names of the tensors that the file had
};

/// Loads a model with the head of a task (none = the one it was saved for) onto the device and into the compute dtype; says what a person should
/// know on stderr, but for notes that contain `silent`.
/// Errors   as models::load_head and text::load_tokenizer; InvalidArgument if the tokenizer has more tokens than the model or no begin and end
[[nodiscard]] LoadedTask load_task(const std::string& path, std::optional<models::Task> task, const ComputeOptions& options,
                                   const std::string& silent = {});

[[nodiscard]] models::Task model_task(LabelledTask task);

/// What the labels of a loaded model's task are. Errors  Unsupported if it has none
[[nodiscard]] data::Task data_task_of(const models::TaskHead& model);

/// Reads a file of examples for a loaded model. Errors  as train::read_task_examples
[[nodiscard]] train::TaskExamples read_examples(const LoadedTask& loaded, const std::string& file, const ExampleOptions& options);

}  // namespace everlong::app
