#include "everlong/train/objective.h"

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/checkpoint/load_module.h"
#include "everlong/models/model_directory.h"
#include "everlong/tensor/device.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"
#include "everlong/train/causal_objective.h"
#include "everlong/train/task_objective.h"

namespace everlong::train {
namespace {

/// The task to load a folder as: with another set of labels only the model below the head can be used.
models::Task task_to_load(const models::LoadedConfig& saved, const models::TaskHead& model) {
  const bool labelled = model.task() == models::Task::sequence_classification || model.task() == models::Task::token_classification;
  const models::TaskConfig &theirs = saved.task_config, &ours = model.task_config();
  if (!labelled) return model.task();
  const bool same = saved.saved_task() == model.task() && theirs.num_labels == ours.num_labels && theirs.label_names == ours.label_names &&
                    theirs.classifier == ours.classifier;
  return same ? model.task() : models::Task::embedding;
}

}  // namespace

std::unique_ptr<Objective> make_objective(TrainConfig& config, const RunDirectory& directory, bool load_initial, const Message& message) {
  if (config.train.task == models::Task::causal_lm) return std::make_unique<CausalObjective>(config, directory, load_initial, message);
  return std::make_unique<TaskObjective>(config, directory, load_initial, message);
}

void prepare_model(models::TaskHead& model, const RunConfig& run) {
  const at::ScalarType dtype = resolve_dtype(run.dtype);
  if (dtype == at::kDouble) model.to(at::kDouble);
  model.to(resolve_device(run.device));
  model.model().set_compute_dtype(dtype);
  model.model().set_activation_checkpointing(run.activation_checkpointing);
}

void load_initial_weights(models::TaskHead& model, const std::string& folder, const Message& message) {
  const at::NoGradGuard no_grad;
  const auto path = resolve_model_path(folder);
  const models::Task task = task_to_load(models::load_config(path), model);
  models::LoadOptions options{.task = task};
  if (task == model.task()) options.task_config = model.task_config();
  const models::LoadedHead loaded = models::load_head(path, options);
  const checkpoint::TensorMap theirs = checkpoint::own_tensors(*loaded.model);
  int64_t copied = 0;
  std::string fresh;
  for (const auto& item : checkpoint::own_tensors(model)) {
    const std::string& name = item.first;
    at::Tensor tensor = item.second;
    const auto found = task == model.task() || !name.starts_with("head.") ? theirs.find(name) : theirs.end();
    if (found == theirs.end()) {
      fresh += (fresh.empty() ? "" : ", ") + name;
      continue;
    }
    require(found->second.sizes() == tensor.sizes(), [&] {
      return Complaint{.where = "model.init",
                       .expected = fmt::format("{} of shape {}", name, shape_text(tensor.sizes())),
                       .got = shape_text(found->second.sizes()),
                       .hint = "a key below [model] changes the shape that " + path.string() + " has"};
    });
    tensor.copy_(found->second);
    ++copied;
  }
  if (!message) return;
  if (task == model.task())
    for (const std::string& note : loaded.notes) message(note);
  message(fmt::format("{}: {} tensors taken over{}", path.string(), copied, fresh.empty() ? "" : "; freshly initialised: " + fresh));
}

}  // namespace everlong::train
