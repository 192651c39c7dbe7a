#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/io/atomic_file.h"
#include "everlong/io/json.h"
#include "everlong/models/model_directory.h"
#include "everlong/tensor/torch.h"
#include "everlong/train/setup.h"
#include "everlong/train/trainer.h"

namespace everlong::train {
namespace {

constexpr const char* kTensorFile = "trainer.safetensors";
constexpr const char* kProgressFile = "trainer.json";

std::string slot_name(const nn::SlotSpec& slot) { return "state." + slot.name; }

}  // namespace

/// A checkpoint is a model directory (with the averaged weights where there are some) plus what only training needs.
/// It holds nothing that depends on the clock, so that two ways to the same step give the same bytes.
void Trainer::save_checkpoint() {
  checkpoint::TensorMap tensors;
  optimizer_->save(tensors);
  if (average_) average_->save(tensors);
  const auto& slots = model_->model().state_layout().slots();
  for (size_t i = 0; i < slots.size(); ++i) tensors.emplace(slot_name(slots[i]), state_.tensors()[i]);
  tensors.emplace("state.position", state_.position());
  for (const NamedParameter& parameter : all_parameters(*model_))
    if (average_) tensors.emplace("weight." + parameter.name, parameter.tensor.detach().clone());

  const bool best = latest_bits_per_byte_ && (!best_bits_per_byte_ || *latest_bits_per_byte_ < *best_bits_per_byte_);
  if (best) best_bits_per_byte_ = latest_bits_per_byte_;
  latest_bits_per_byte_.reset();
  const io::OrderedJson progress = {{"step", step_},
                                    {"tokens", tokens_},
                                    {"data", io::OrderedJson(data::to_json(source_->position()))},
                                    {"best_bits_per_byte", best_bits_per_byte_ ? io::OrderedJson(*best_bits_per_byte_) : io::OrderedJson()}};

  io::AtomicFolder folder(directory_.checkpoint(step_), io::IfExists::replace);
  {
    const UseAverage averaged(average_.get());
    models::save_model(folder.temporary(), *model_);
  }
  tokenizer_->save(folder.temporary());
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
  const auto report = checkpoint::load_into(*model_, weights.tensors, config_.model->name_rules(model_->task()), std::string(config_.model->base_prefix()), folder.string());
  if (!report.missing.empty()) throw FormatError({.file = folder.string(), .field = report.missing.front()}, "a tensor for every parameter", "none");
  const auto tensors = checkpoint::load_tensors(file).tensors;
  optimizer_->load(tensors, file);
  const auto tensor = [&](const std::string& name) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) throw FormatError({.file = file, .field = name}, "a tensor", "none", "the checkpoint belongs to another configuration");
    return found->second;
  };
  if (average_) {
    const at::NoGradGuard no_grad;
    average_->load(tensors, file);
    for (NamedParameter& parameter : all_parameters(*model_)) parameter.tensor.copy_(tensor("weight." + parameter.name));
  }
  std::vector<at::Tensor> slots;
  for (const nn::SlotSpec& slot : model_->model().state_layout().slots()) slots.push_back(tensor(slot_name(slot)));
  state_ = model_->model().state_layout().assemble(std::move(slots), tensor("state.position"));

  const auto progress = io::read_json_file(folder / kProgressFile);
  const auto number = [&](const char* key) {
    if (!progress.contains(key) || !progress[key].is_number_integer())
      throw FormatError({.file = (folder / kProgressFile).string(), .field = key}, "an integer", "something else");
    return progress[key].get<int64_t>();
  };
  step_ = number("step");
  tokens_ = number("tokens");
  source_->seek(data::batch_position_from_json(progress.value("data", io::Json()), (folder / kProgressFile).string()));
  if (progress.contains("best_bits_per_byte") && progress["best_bits_per_byte"].is_number()) best_bits_per_byte_ = progress["best_bits_per_byte"].get<double>();
}

}  // namespace everlong::train
