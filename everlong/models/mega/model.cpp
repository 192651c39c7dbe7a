#include "everlong/models/mega/model.h"

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::mega {

Block::Block(const Config& config, nn::StateLayout& layout, int64_t layer) {
  attention_ = register_module("attention", std::make_shared<GatedAttention>(config, layout, layer));
  if (config.use_normalized_ffn) ffn_ = register_module("ffn", std::make_shared<FeedForward>(config));
}

at::Tensor Block::forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) {
  const at::Tensor y = attention_->forward(x, call, updates);
  return ffn_ ? ffn_->forward(y) : y;
}

MegaModel::MegaModel(const Config& config) : config_(config) {
  layout_.set_owner(config.fingerprint());
  embedding_ = register_module("embedding", std::make_shared<nn::Embedding>(config.vocab_size, config.hidden_size, config.pad_token_id));
  nn::init_normal_(embedding_->weight, config.initializer_range);
  if (config.pad_token_id >= 0) {
    const at::NoGradGuard no_grad;
    embedding_->weight[config.pad_token_id].zero_();
  }
  if (config.add_token_type_embeddings) {
    token_type_embedding_ = register_module("token_type_embedding", std::make_shared<nn::Embedding>(config.type_vocab_size, config.hidden_size));
    nn::init_normal_(token_type_embedding_->weight, config.initializer_range);
  }
  const auto layers = std::make_shared<torch::nn::Module>();
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    blocks_.push_back(std::make_shared<Block>(config, layout_, i));
    layers->register_module(fmt::format("{}", i), blocks_.back());
  }
  register_module("layers", layers);
  if (capabilities().streaming == Streaming::exact) {
    const int64_t C = config.attention_chunk();
    valid_slot_ = layout_.add({.name = "key_valid", .shape = {C}, .kind = nn::SlotKind::flag, .grows = C == 0});
  }
}

Capabilities MegaModel::capabilities() const {
  return {.causal = config_.is_decoder && !config_.bidirectional,
          .streaming = config_.is_decoder && !config_.bidirectional ? Streaming::exact : Streaming::none,
          .bounded_state = config_.use_chunking};
}

at::Tensor MegaModel::embed(const ModelInput& input) const {
  at::Tensor x = embedding_->forward(input.tokens, compute_dtype());
  if (!token_type_embedding_) return x;
  const at::Tensor types = input.token_types ? *input.token_types : at::zeros_like(input.tokens);
  return x + token_type_embedding_->forward(types, compute_dtype());
}

ModelOutput MegaModel::forward(const ModelInput& input, nn::State state) {
  check_input(input, state);
  const int64_t batch_size = input.tokens.size(0), seq_len = input.tokens.size(1);
  const auto call = std::make_shared<LayerCall>();
  if (input.valid) call->valid = input.valid->to(at::kBool);
  call->plan = nn::plan_sequence(batch_size, seq_len, state, call->valid, input.document_ids);
  call->state = std::move(state);
  call->window = nn::plan_window(call->plan, config_.attention_chunk(), call->valid, call->slot(valid_slot_));
  call->trace = input.trace;

  at::Tensor x = embed(input);
  trace_hidden(input, 0, x);
  std::vector<nn::SlotUpdate> updates;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    x = run_layer<Block, LayerCall>(blocks_[i], call, x, updates);
    trace_hidden(input, i + 1, x);
  }
  if (capabilities().streaming != Streaming::exact) return {.hidden = x, .state = {}};
  updates.push_back(nn::kept_flags(valid_slot_, call->slot(valid_slot_), call->valid, call->window, call->plan, x.device()));
  return {.hidden = x, .state = layout_.next(std::move(updates), call->plan.end_position)};
}

std::vector<NamedTensor> MegaModel::public_state(const nn::State& state) const {
  std::vector<NamedTensor> named;
  const auto position = state.positions();
  const int64_t kept = config_.use_chunking ? position.front() % config_.chunk_size : position.front();
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const GatedAttention& attention = blocks_[i]->attention();
    const at::Tensor weight = attention.ema().coefficients().input_weight;
    named.push_back({fmt::format("cache.{}.ema_state", i), state[attention.ema_slot()] * weight});
    if (kept == 0) continue;
    named.push_back({fmt::format("cache.{}.self_key", i), state[attention.key_slot()].narrow(1, 0, kept)});
    named.push_back({fmt::format("cache.{}.self_value", i), state[attention.value_slot()].narrow(1, 0, kept)});
  }
  return named;
}

}  // namespace everlong::models::mega
