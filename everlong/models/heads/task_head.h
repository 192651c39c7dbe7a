#pragma once

#include <memory>
#include <vector>

#include "everlong/models/architecture.h"
#include "everlong/models/model.h"
#include "everlong/models/task.h"

namespace everlong::models {

/// What is to be learned of a batch. Each task reads its own.
struct Labels {
  at::Tensor values = {};  ///< language models, tokens [B, T] int64, -100 = not counted; sequences [B] int64 or float, or [B, labels]; choices [B] int64
  at::Tensor starts = {};  ///< question answering [B] int64: first token of the answer; at or beyond T = not counted
  at::Tensor ends = {};    ///< [B] int64: its last token
};

/// A model with what one task needs on top: the unit that is trained, saved and served.
class TaskHead : public torch::nn::Module {
 public:
  [[nodiscard]] Task task() const { return task_; }
  [[nodiscard]] Model& model() { return *model_; }
  [[nodiscard]] const Model& model() const { return *model_; }
  [[nodiscard]] const ArchitectureConfig& config() const { return *config_; }
  [[nodiscard]] const TaskConfig& task_config() const { return task_config_; }

  /// What the task's public class returns, under its names: "logits", "start_logits", "last_hidden_state", ...
  /// `num_choices`  multiple choice: rows of one question, which stand together
  virtual std::vector<NamedTensor> outputs(const ModelInput& input, int64_t num_choices = 1) = 0;

  /// The task's loss, a scalar; nats per counted label, or a squared error.
  /// Source   specification of MEGA 2.15, which is that of Hugging Face's classes. Exact; an empty selection gives 0, not NaN.
  /// Errors   InvalidArgument if the labels' shape or type is not the task's
  virtual at::Tensor task_loss(const ModelInput& input, const Labels& labels) = 0;

 protected:
  /// Builds the model. Errors  as config.validate(); Unsupported if the architecture does not have the task
  TaskHead(const ArchitectureConfig& config, Task task, TaskConfig task_config = {});

  /// Registers the module "head", below which a task's own parameters stand.
  std::shared_ptr<torch::nn::Module> add_head();
  [[nodiscard]] double classifier_dropout() const { return task_config_.classifier_dropout.value_or(config_->head_dropout()); }

  std::unique_ptr<ArchitectureConfig> config_;
  std::shared_ptr<Model> model_;

 private:
  Task task_;
  TaskConfig task_config_;
};

/// Builds the head of a task with fresh parameters. Errors  as its constructor
[[nodiscard]] std::shared_ptr<TaskHead> make_head(const ArchitectureConfig& config, Task task, const TaskConfig& task_config = {});

}  // namespace everlong::models
