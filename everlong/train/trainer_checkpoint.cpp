#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/io/atomic_file.h"
#include "everlong/io/json.h"
#include "everlong/models/model_directory.h"
#include "everlong/tensor/torch.h"
#include "everlong/text/chat_format.h"
#include "everlong/train/setup.h"
#include "everlong/train/trainer.h"

namespace everlong::train {
namespace {

constexpr const char* kTensorFile = "trainer.safetensors";
constexpr const char* kProgressFile = "trainer.json";

/// The key of the best score so far in trainer.json.
std::string best_key(const Objective& objective) { return "best_" + objective.metric(); }

}  // namespace

/// A checkpoint is a model directory (with the averaged weights where there are some) plus what only training needs.
/// It holds nothing that depends on the clock, so that two ways to the same step give the same bytes.
void Trainer::save_checkpoint() {
  checkpoint::TensorMap tensors;
  optimizer_->save(tensors);
  if (average_) average_->save(tensors);
  objective_->save_state(tensors);
  for (const NamedParameter& parameter : all_parameters(model()))
    if (average_) tensors.emplace("weight." + parameter.name, parameter.tensor.detach().clone());

  const std::string metric = objective_->metric();
  const bool smaller = metric == "bits_per_byte" || smaller_is_better(metric);
  const bool best = latest_ && (!best_ || (smaller ? *latest_ < *best_ : *latest_ > *best_));
  if (best) best_ = latest_;
  latest_.reset();
  const io::OrderedJson progress = {{"step", step_},
                                    {"tokens", tokens_},
                                    {"data", io::OrderedJson(objective_->position())},
                                    {best_key(*objective_), best_ ? io::OrderedJson(*best_) : io::OrderedJson()}};

  io::AtomicFolder folder(directory_.checkpoint(step_), io::IfExists::replace);
  {
    const UseAverage averaged(average_.get());
    models::save_model(folder.temporary(), model());
  }
  objective_->tokenizer()->save(folder.temporary());
  if (const auto chat_template = directory_.tokenizer() / text::kChatTemplateFile; std::filesystem::exists(chat_template))
    io::atomic_write_text(folder.temporary() / text::kChatTemplateFile, io::read_text_file(chat_template));
  checkpoint::save_tensors(folder.temporary() / kTensorFile, tensors);
  io::write_json(folder.temporary() / kProgressFile, progress);
  folder.commit();
  directory_.set_latest(step_);
  if (best && config_.train.keep_best) directory_.set_best(step_);
  directory_.prune(config_.train.keep_last);
  if (callbacks_.on_message) callbacks_.on_message(fmt::format("step {}: checkpoint {}", step_, directory_.checkpoint(step_).string()));
}

void Trainer::load_checkpoint(int64_t step) {
  const auto folder = directory_.checkpoint(step);
  const auto file = (folder / kTensorFile).string();
  const auto weights = checkpoint::load_weights(folder);
  const auto report = checkpoint::load_into(model(), weights.tensors, config_.model->name_rules(model().task()),
                                            std::string(config_.model->base_prefix()), folder.string());
  if (!report.missing.empty()) throw FormatError({.file = folder.string(), .field = report.missing.front()}, "a tensor for every parameter", "none");
  const auto tensors = checkpoint::load_tensors(file).tensors;
  optimizer_->load(tensors, file);
  const auto tensor = [&](const std::string& name) {
    const auto found = tensors.find(name);
    if (found == tensors.end())
      throw FormatError({.file = file, .field = name}, "a tensor", "none", "the checkpoint belongs to another configuration");
    return found->second;
  };
  if (average_) {
    const at::NoGradGuard no_grad;
    average_->load(tensors, file);
    for (NamedParameter& parameter : all_parameters(model())) parameter.tensor.copy_(tensor("weight." + parameter.name));
  }
  objective_->load_state(tensors, file);

  const auto progress = io::read_json_file(folder / kProgressFile);
  const auto number = [&](const char* key) {
    if (!progress.contains(key) || !progress[key].is_number_integer())
      throw FormatError({.file = (folder / kProgressFile).string(), .field = key}, "an integer", "something else");
    return progress[key].get<int64_t>();
  };
  step_ = number("step");
  tokens_ = number("tokens");
  objective_->seek(progress.value("data", io::Json()), (folder / kProgressFile).string());
  const std::string best = best_key(*objective_);
  if (progress.contains(best) && progress[best].is_number()) best_ = progress[best].get<double>();
}

}  // namespace everlong::train
