#include "everlong/models/megalodon/model.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "everlong/models/megalodon/rotary.h"
#include "everlong/nn/activation.h"
#include "everlong/nn/token_places.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::megalodon {
namespace {

/// The pieces of rows as pieces of rows and heads: head h of row b is row b H + h.
std::vector<ops::AttentionPiece> pieces_of_heads(const std::vector<ops::AttentionPiece>& pieces, int64_t num_heads) {
  if (num_heads == 1) return pieces;
  std::vector<ops::AttentionPiece> all;
  for (size_t begin = 0; begin < pieces.size();) {
    size_t end = begin;
    while (end < pieces.size() && pieces[end].row == pieces[begin].row) ++end;
    const int64_t row = pieces[begin].row;
    for (int64_t h = 0; h < (row < 0 ? 1 : num_heads); ++h)
      for (size_t i = begin; i < end; ++i) {
        all.push_back(pieces[i]);
        if (row >= 0) all.back().row = row * num_heads + h;
      }
    begin = end;
  }
  return all;
}

/// Nothing for keys in the last `window` places, so little for older ones that their weight is zero. Shapes  [2 longest - 1]
at::Tensor window_bias(int64_t longest, int64_t window, const at::TensorOptions& options) {
  const at::Tensor bias = at::zeros({2 * longest - 1}, options);
  const int64_t beyond = longest - window;  // distances j - i from 1 - longest to -window
  if (beyond > 0) bias.narrow(0, 0, beyond).fill_(-1e30);
  return bias;
}

}  // namespace

MegalodonModel::MegalodonModel(const Config& config) : config_(config) {
  layout_.set_owner(config.fingerprint());
  embedding_ = register_module("embedding", std::make_shared<nn::Embedding>(config.vocab_size, config.model_dim));
  nn::init_normal_(embedding_->weight, config.initializer_std(), 0.0, 3.0);
  frequencies_ = register_buffer("rope_frequencies", rotary_frequencies(config.head_width(), config.rotary_base()));
  const auto layers = std::make_shared<torch::nn::Module>();
  for (int64_t i = 0; i < config.num_layers; ++i) {
    blocks_.push_back(std::make_shared<Block>(config, layout_, i));
    layers->register_module(fmt::format("{}", i), blocks_.back());
  }
  register_module("layers", layers);
  final_norm_ = register_module("final_norm", std::make_shared<TimestepNorm>(config, layout_, "final_norm"));
  if (config.causal) valid_slot_ = layout_.add({.name = "key_valid", .shape = {config.cache_len()}, .kind = nn::SlotKind::flag});
  if (config.recent_len() > 0) recent_slot_ = layout_.add({.name = "recent_tokens", .shape = {config.recent_len()}, .kind = nn::SlotKind::count});
  set_activation_checkpointing(config.layerwise_ckpt);
}

Capabilities MegalodonModel::capabilities() const {
  if (!config_.causal) return {.causal = false, .streaming = Streaming::none};
  return {.streaming = config_.recent_len() > 0 ? Streaming::approximate : Streaming::exact};
}

at::Tensor MegalodonModel::embed(const ModelInput& input) const {
  at::Tensor x = input.embeddings ? input.embeddings->to(compute_dtype()) : embedding_->forward(input.tokens, compute_dtype());
  if (!input.embeddings && config_.scale_emb) x = x * std::sqrt(static_cast<double>(config_.model_dim));
  return nn::dropout(x, config_.dropout, is_training());
}

/// Chunks share one table, which inference keeps; what a shorter call needs is made for it.
at::Tensor MegalodonModel::turns_of(const nn::SequencePlan& plan, at::Device device) const {
  const auto dtype = compute_dtype() == at::kDouble ? at::kComplexDouble : at::kComplexFloat;
  const at::Tensor in_document = nn::token_positions(plan),
                   positions = config_.attention_window ? in_document : in_document.remainder(config_.chunk_size);
  const bool from_table = !config_.attention_window && (is_inference() || plan.seq_len >= config_.chunk_size);
  if (!from_table) return rotary_turns(positions, frequencies_.cpu(), dtype).to(device);
  const auto make = [&] { return rotary_turns(at::arange(config_.chunk_size, at::kLong), frequencies_.cpu(), dtype); };
  const at::Tensor table = chunk_turns_.get({frequencies_}, static_cast<int64_t>(dtype), make);
  return table.index_select(0, positions.flatten()).view({positions.size(0), positions.size(1), -1}).to(device);
}

void MegalodonModel::plan_attention(LayerCall& call, at::Device device) const {
  const at::Tensor past_valid = config_.causal ? call.slot(valid_slot_) : at::Tensor();
  call.window = config_.attention_window ? nn::plan_sliding_window(call.plan, *config_.attention_window, call.valid, past_valid)
                                         : nn::plan_window(call.plan, config_.chunk_size, call.valid, past_valid);
  call.pieces = pieces_of_heads(call.window.pieces, config_.num_heads);
  if (call.window.valid) call.key_valid = call.window.valid->repeat_interleave(config_.num_heads, 0);
  if (config_.attention_window) {
    const auto options = at::TensorOptions(compute_dtype() == at::kDouble ? at::kDouble : at::kFloat).device(device);
    call.distance_bias = window_bias(call.window.longest, *config_.attention_window, options);
  }
  call.turns = turns_of(call.plan, device);
}

ModelOutput MegalodonModel::forward(const ModelInput& input, nn::State state) {
  check_input(input, state);
  if (config_.recent_len() > 0) return read_in_windows(input, std::move(state));
  return read(input, std::move(state));
}

ModelOutput MegalodonModel::read(const ModelInput& input, nn::State state) {
  const auto call = std::make_shared<LayerCall>();
  if (input.valid) call->valid = input.valid->ne(0);
  call->plan = nn::plan_sequence(input.batch_size(), input.seq_len(), state, call->valid, input.document_ids);
  call->state = std::move(state);
  call->trace = input.trace;

  at::Tensor x = embed(input);
  plan_attention(*call, x.device());
  trace_hidden(input, 0, x);
  std::vector<nn::SlotUpdate> updates;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    x = run_layer<Block, LayerCall>(blocks_[i], call, x, updates);
    trace_hidden(input, i + 1, x);
  }
  x = final_norm_->forward(x, *call, updates);
  if (input.trace != nullptr) (*input.trace)("hidden.final", x);
  if (!config_.causal) return {.hidden = x, .state = {}};
  updates.push_back(nn::kept_flags(valid_slot_, call->slot(valid_slot_), call->valid, call->window, call->plan, x.device()));
  if (config_.recent_len() > 0) updates.push_back({recent_slot_, recent_tokens(*call, input.tokens)});
  return {.hidden = x, .state = layout_.next(std::move(updates), call->plan.end_position)};
}

std::vector<NamedTensor> MegalodonModel::public_state(const nn::State& state) const {
  std::vector<NamedTensor> named;
  const int64_t position = state.positions().front();
  const int64_t kept = config_.attention_window ? std::min(position, *config_.attention_window) : position % config_.chunk_size;
  for (size_t i = 0; i < blocks_.size(); ++i) blocks_[i]->attention().name_state(state, fmt::format("state.layers.{}", i), kept, named);
  final_norm_->name_state(state, "state.final_norm", named);
  return named;
}

}  // namespace everlong::models::megalodon
