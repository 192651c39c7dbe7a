#include "everlong/models/mega/model.h"

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/nn/token_spans.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::mega {
namespace {

void plan_parts(SpannedCall& call, int64_t tokens) {
  const LayerCall& whole = *call.whole;
  const int64_t seq_len = whole.plan.seq_len;
  call.spans = nn::plan_spans(whole.window, whole.plan.batch_size, seq_len, tokens);
  for (const TokenSpan& span : call.spans)
    call.parts.push_back({.window = nn::window_of(whole.window, span), .first_row = span.row * seq_len + span.begin});
}

}  // namespace

Block::Block(const Config& config, nn::StateLayout& layout, int64_t layer) {
  attention_ = register_module("attention", std::make_shared<GatedAttention>(config, layout, layer));
  if (config.add_cross_attention) cross_attention_ = register_module("cross_attention", std::make_shared<CrossAttention>(config, layout, layer));
  if (config.use_normalized_ffn) ffn_ = register_module("ffn", std::make_shared<FeedForward>(config));
}

at::Tensor Block::forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) {
  return after_attention(attention_->forward(x, call, updates), call, updates);
}

at::Tensor Block::finish(const Filtered& in, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) {
  return after_attention(attention_->finish(in, call, updates), call, updates);
}

at::Tensor Block::after_attention(const at::Tensor& y, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) {
  const at::Tensor crossed = cross_attention_ ? cross_attention_->forward(y, call, updates) : y;
  return ffn_ ? ffn_->forward(crossed, call) : crossed;
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
  if (config.final_norm != FinalNorm::none)
    final_norm_ =
        register_module("final_norm", std::make_shared<nn::Norm>(norm_type(config), config.hidden_size, config.final_norm == FinalNorm::affine));
  if (capabilities().streaming == Streaming::exact) {
    const int64_t C = config.attention_chunk();
    valid_slot_ = layout_.add({.name = "key_valid", .shape = {C}, .kind = nn::SlotKind::flag, .grows = C == 0});
    if (config.add_cross_attention)
      memory_valid_slot_ = layout_.add({.name = "memory_valid", .shape = {0}, .kind = nn::SlotKind::flag, .of_memory = true});
  }
}

Capabilities MegaModel::capabilities() const {
  return {.causal = config_.streams(),
          .streaming = config_.streams() ? Streaming::exact : Streaming::none,
          .bounded_state = config_.use_chunking,
          .cross_attention = config_.add_cross_attention};
}

at::Tensor MegaModel::embed(const ModelInput& input) const {
  at::Tensor x = input.embeddings ? input.embeddings->to(compute_dtype()) : embedding_->forward(input.tokens, compute_dtype());
  if (!input.embeddings && config_.embedding_scale != 1) x = x * config_.embedding_scale;
  if (!token_type_embedding_) return x;
  const at::Tensor types = input.token_types ? *input.token_types : at::zeros({x.size(0), x.size(1)}, x.options().dtype(at::kLong));
  return x + token_type_embedding_->forward(types, compute_dtype());
}

/// Finds the encoder states of a call: those given, or those that the state has read.
void MegaModel::read_memory(const ModelInput& input, LayerCall& call, std::vector<nn::SlotUpdate>& updates) const {
  if (!config_.add_cross_attention) return;
  const at::Tensor known = call.slot(memory_valid_slot_);
  const bool in_state = known.defined() && known.size(1) > 0;
  require(input.memory || in_state, [] {
    return Complaint{.where = "mega",
                     .expected = "encoder states in `memory`, or a state that has read some",
                     .got = "neither",
                     .hint = "this decoder has cross-attention"};
  });
  at::Tensor flags = known;
  if (input.memory) {
    call.memory = *input.memory;
    const auto options = at::TensorOptions(at::kBool).device(input.memory->device());
    flags = input.memory_valid ? input.memory_valid->ne(0) : at::ones({input.memory->size(0), input.memory->size(1)}, options);
  }
  if (!flags.all().item<bool>()) call.memory_valid = flags;
  plan_memory(call, flags.size(1));
  updates.push_back({memory_valid_slot_, flags});
}

at::Tensor MegaModel::run_block(const std::shared_ptr<Block>& block, const std::shared_ptr<const SpannedCall>& call, const at::Tensor& x,
                                std::vector<nn::SlotUpdate>& updates) const {
  if (call->spans.empty()) return run_layer<Block, LayerCall>(block, call->whole, x, updates);
  const auto prepare = [block, call](const at::Tensor& input, bool) {
    std::vector<nn::SlotUpdate> none;
    const Filtered filtered = block->prepare(input, *call->whole, none);
    return std::vector<at::Tensor>{filtered.x, filtered.normed, filtered.smoothed};
  };
  const auto finish = [block, call](const std::vector<at::Tensor>& parts, size_t span, bool) {
    std::vector<nn::SlotUpdate> none;
    return block->finish({.x = parts[0], .normed = parts[1], .smoothed = parts[2]}, call->parts[span], none);
  };
  return run_checkpointed(x, SpanwiseBody{.prepare = prepare, .finish = finish, .spans = call->spans});
}

ModelOutput MegaModel::forward(const ModelInput& input, nn::State state) {
  check_input(input, state);
  const auto call = std::make_shared<LayerCall>();
  if (input.valid) call->valid = input.valid->ne(0);
  call->plan = nn::plan_sequence(input.batch_size(), input.seq_len(), state, call->valid, input.document_ids);
  call->state = std::move(state);
  call->window = nn::plan_window(call->plan, config_.attention_chunk(), call->valid, call->slot(valid_slot_));
  call->trace = input.trace;

  std::vector<nn::SlotUpdate> updates;
  read_memory(input, *call, updates);

  at::Tensor x = embed(input);
  trace_hidden(input, 0, x);
  const auto spanned = std::make_shared<SpannedCall>(SpannedCall{.whole = call});
  if (config_.finishes_by_span() && activation_checkpointing() && at::GradMode::is_enabled() && call->trace == nullptr)
    plan_parts(*spanned, checkpoint_span_tokens());
  for (size_t i = 0; i < blocks_.size(); ++i) {
    x = run_block(blocks_[i], spanned, x, updates);
    trace_hidden(input, i + 1, x);
  }
  if (final_norm_) x = final_norm_->forward(x);
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
    if (const CrossAttention* cross = blocks_[i]->cross_attention()) {
      named.push_back({fmt::format("cache.{}.cross_key", i), state[cross->key_slot()]});
      named.push_back({fmt::format("cache.{}.cross_value", i), state[cross->value_slot()]});
    }
    if (kept == 0) continue;
    named.push_back({fmt::format("cache.{}.self_key", i), state[attention.key_slot()].narrow(1, 0, kept)});
    named.push_back({fmt::format("cache.{}.self_value", i), state[attention.value_slot()].narrow(1, 0, kept)});
  }
  return named;
}

}  // namespace everlong::models::mega
