#include "everlong/models/heads/task_head.h"

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/models/heads/causal_lm.h"
#include "everlong/models/heads/embedder.h"
#include "everlong/models/heads/masked_lm.h"
#include "everlong/models/heads/multiple_choice.h"
#include "everlong/models/heads/question_answerer.h"
#include "everlong/models/heads/sequence_classifier.h"
#include "everlong/models/heads/token_classifier.h"

namespace everlong::models {

TaskHead::TaskHead(const ArchitectureConfig& config, Task task, TaskConfig task_config)
    : config_(config.clone()), task_(task), task_config_(std::move(task_config)) {
  if (config.head_class(task).empty())
    throw Unsupported({.where = std::string(config.model_type()), .expected = "a task that this architecture has", .got = std::string(task_name(task))});
  model_ = register_module("model", config.build());
}

std::shared_ptr<torch::nn::Module> TaskHead::add_head() { return register_module("head", std::make_shared<torch::nn::Module>()); }

std::shared_ptr<TaskHead> make_head(const ArchitectureConfig& config, Task task, const TaskConfig& task_config) {
  switch (task) {
    case Task::causal_lm: return std::make_shared<CausalLm>(config);
    case Task::masked_lm: return std::make_shared<MaskedLm>(config);
    case Task::sequence_classification: return std::make_shared<SequenceClassifier>(config, task_config);
    case Task::token_classification: return std::make_shared<TokenClassifier>(config, task_config);
    case Task::multiple_choice: return std::make_shared<MultipleChoice>(config, task_config);
    case Task::question_answering: return std::make_shared<QuestionAnswerer>(config, task_config);
    case Task::embedding: return std::make_shared<Embedder>(config);
  }
  throw InvalidArgument({.where = "task", .expected = "one of the enumeration", .got = fmt::format("{}", static_cast<int>(task))});
}

}  // namespace everlong::models
