#include "everlong/train/causal_objective.h"

#include <algorithm>
#include <numbers>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/tensor/torch.h"
#include "everlong/train/setup.h"

namespace everlong::train {
namespace {

std::string slot_name(const nn::SlotSpec& slot) { return "state." + slot.name; }

}  // namespace

CausalObjective::CausalObjective(TrainConfig& config, const RunDirectory& directory, bool load_initial, const Message& message)
    : carries_(config.data.order == DataOrder::lanes), eval_files_(config.data.eval), eval_segment_(config.train.eval_segment) {
  tokenizer_ = prepare_tokenizer(config, directory);
  settle_vocabulary(*tokenizer_, config);
  const auto corpus = prepare_corpus(config, config.data.train, *tokenizer_, directory);
  if (config.data.format == DataFormat::chats)
    for (const std::string& file : eval_files_) eval_chats_.push_back(prepare_corpus(config, {file}, *tokenizer_, directory));
  bytes_per_token_ =
      static_cast<double>(corpus->total_bytes().value_or(corpus->num_tokens())) / static_cast<double>(std::max<int64_t>(1, corpus->num_tokens()));
  source_ = prepare_batches(config, corpus, *tokenizer_);

  at::manual_seed(static_cast<uint64_t>(config.train.seed));
  lm_ = std::make_shared<models::CausalLm>(*config.model);
  model_ = lm_;
  if (load_initial) load_initial_weights(*lm_, config.init, message);
  prepare_model(*lm_, config.train);
  state_ = lm_->model().initial_state(config.data.batch_size);
}

Objective::BatchLoss CausalObjective::next_loss() {
  data::Batch batch = source_->next();
  const at::Device device = lm_->model().embedding_weight().device();
  while (batch.num_targets == 0) {  // nothing to learn, but to be read
    const at::NoGradGuard no_grad;
    state_.detach_();
    state_.restart_(batch.restart);
    if (carries_) state_ = lm_->model().forward({.tokens = batch.tokens.to(device), .document_ids = batch.document_ids}, std::move(state_)).state;
    batch = source_->next();
  }
  state_.detach_();
  state_.restart_(batch.restart);
  auto loss = lm_->loss({.tokens = batch.tokens.to(device), .document_ids = batch.document_ids}, batch.targets.to(device),
                        carries_ ? std::move(state_) : nn::State());
  if (carries_) state_ = std::move(loss.state);
  return {.mean = loss.mean, .count = loss.count};
}

io::Json CausalObjective::position() const { return data::to_json(source_->position()); }

void CausalObjective::seek(const io::Json& position, std::string_view file_name) {
  source_->seek(data::batch_position_from_json(position, file_name));
}

void CausalObjective::save_state(checkpoint::TensorMap& into) const {
  const auto& slots = lm_->model().state_layout().slots();
  for (size_t i = 0; i < slots.size(); ++i) into.emplace(slot_name(slots[i]), state_.tensors()[i]);
  into.emplace("state.position", state_.position());
}

void CausalObjective::load_state(const checkpoint::TensorMap& from, const std::string& file_name) {
  const auto tensor = [&](const std::string& name) {
    const auto found = from.find(name);
    if (found == from.end())
      throw FormatError({.file = file_name, .field = name}, "a tensor", "none", "the checkpoint belongs to another configuration");
    return found->second;
  };
  const at::Device device = lm_->model().embedding_weight().device();
  std::vector<at::Tensor> slots;
  for (const nn::SlotSpec& slot : lm_->model().state_layout().slots()) slots.push_back(tensor(slot_name(slot)).to(device));
  state_ = lm_->model().state_layout().assemble(std::move(slots), tensor("state.position"));
}

RunEvaluation CausalObjective::evaluate(int64_t step, MetricsLog& metrics, const Message& message) {
  RunEvaluation found;
  for (size_t i = 0; i < eval_files_.size(); ++i) {
    found.texts.push_back(eval_chats_.empty() ? evaluate_file(*lm_, *tokenizer_, eval_files_[i], {.segment = eval_segment_})
                                              : evaluate_answers(*lm_, *tokenizer_, eval_chats_[i], eval_files_[i], eval_segment_));
    const Evaluation& evaluation = found.texts.back();
    metrics.add(step, evaluation, Context::carry);
    if (message)
      message(fmt::format("step {}: {} {:.4f} bits per byte, {:.4f} nats per token", step, evaluation.file, evaluation.bits_per_byte(),
                          evaluation.nats_per_token()));
  }
  return found;
}

std::optional<double> CausalObjective::metric_of(const RunEvaluation& evaluation) const {
  if (evaluation.texts.empty()) return std::nullopt;
  double nats = 0, bytes = 0;
  for (const Evaluation& one : evaluation.texts) {
    nats += one.nats;
    bytes += static_cast<double>(one.bytes);
  }
  return nats / std::numbers::ln2 / bytes;
}

std::optional<double> CausalObjective::bits_per_byte(double nats) const { return nats / std::numbers::ln2 / bytes_per_token_; }

}  // namespace everlong::train
