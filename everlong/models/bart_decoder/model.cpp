#include "everlong/models/bart_decoder/model.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/nn/activation.h"
#include "everlong/nn/token_places.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::bart_decoder {
namespace {

constexpr int64_t kPositionOffset = 2;  // rows of the position table that no token uses, as in fairseq

std::shared_ptr<nn::Linear> make_linear(int64_t in, int64_t out, double std) {
  auto linear = std::make_shared<nn::Linear>(in, out);
  nn::init_normal_(linear->weight, std);
  return linear;
}

}  // namespace

Block::Block(const Config& config, nn::StateLayout& layout, int64_t layer) : config_(config) {
  const int64_t D = config.d_model, F = config.decoder_ffn_dim;
  const auto norm = [&] { return std::make_shared<nn::Norm>(nn::NormType::layernorm, D, true); };
  self_attention_ = register_module("self_attention", std::make_shared<SelfAttention>(config, layout, layer));
  self_attention_norm_ = register_module("self_attention_norm", norm());
  cross_attention_ = register_module("cross_attention", std::make_shared<CrossAttention>(config, layout, layer));
  cross_attention_norm_ = register_module("cross_attention_norm", norm());
  up_ = register_module("up", make_linear(D, F, config.init_std));
  down_ = register_module("down", make_linear(F, D, config.init_std));
  final_norm_ = register_module("final_norm", norm());
}

at::Tensor Block::forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) {
  const auto added = [&](const at::Tensor& residual, const at::Tensor& y) { return nn::dropout(y, config_.dropout, is_training(), residual); };
  at::Tensor y = self_attention_norm_->forward(added(x, self_attention_->forward(x, call, updates)));
  const at::Tensor from_memory = cross_attention_->forward(y, call, updates);
  if (from_memory.defined()) y = cross_attention_norm_->forward(added(y, from_memory));
  const at::Tensor inner = nn::dropout(nn::activate(config_.activation_function, up_->forward(y)), config_.activation_dropout, is_training());
  return final_norm_->forward(added(y, down_->forward(inner)));
}

BartDecoderModel::BartDecoderModel(const Config& config) : config_(config) {
  layout_.set_owner(config.fingerprint());
  embedding_ = register_module("embedding", std::make_shared<nn::Embedding>(config.vocab_size, config.d_model, config.pad_token_id));
  positions_ = register_module("positions", std::make_shared<nn::Embedding>(config.max_position_embeddings + kPositionOffset, config.d_model));
  embedding_norm_ = register_module("embedding_norm", std::make_shared<nn::Norm>(nn::NormType::layernorm, config.d_model, true));
  nn::init_normal_(embedding_->weight, config.init_std);
  nn::init_normal_(positions_->weight, config.init_std);
  if (config.pad_token_id >= 0) {
    const at::NoGradGuard no_grad;
    embedding_->weight[config.pad_token_id].zero_();
  }
  const auto layers = std::make_shared<torch::nn::Module>();
  for (int64_t i = 0; i < config.decoder_layers; ++i) {
    blocks_.push_back(std::make_shared<Block>(config, layout_, i));
    layers->register_module(fmt::format("{}", i), blocks_.back());
  }
  register_module("layers", layers);
  valid_slot_ = layout_.add({.name = "key_valid", .shape = {0}, .kind = nn::SlotKind::flag, .grows = true});
  memory_valid_slot_ = layout_.add({.name = "memory_valid", .shape = {0}, .kind = nn::SlotKind::flag, .of_memory = true});
}

at::Tensor BartDecoderModel::embed(const ModelInput& input, const nn::SequencePlan& plan) {
  const at::Tensor positions = nn::token_positions(plan);
  const int64_t furthest = positions.max().item<int64_t>();
  if (furthest >= config_.max_position_embeddings)
    throw Unsupported({.where = "bart",
                       .expected = fmt::format("at most {} tokens a document (max_position_embeddings)", config_.max_position_embeddings),
                       .got = fmt::format("a token at position {}", furthest),
                       .hint = "positions are learned; a model without that limit is mega as decoder"});
  const double scale = config_.scale_embedding ? std::sqrt(static_cast<double>(config_.d_model)) : 1.0;
  const at::Tensor x = input.embeddings ? input.embeddings->to(compute_dtype()) : embedding_->forward(input.tokens, compute_dtype()) * scale;
  const at::Tensor places = positions_->forward((positions + kPositionOffset).to(x.device()), compute_dtype());
  return nn::dropout(embedding_norm_->forward(x + places), config_.dropout, is_training());
}

/// Finds the encoder states of a call: those given, or those that the state has read.
void BartDecoderModel::read_memory(const ModelInput& input, LayerCall& call, std::vector<nn::SlotUpdate>& updates) const {
  at::Tensor flags = call.slot(memory_valid_slot_);
  const at::Device device = embedding_->weight.device();
  if (input.memory) {
    require(input.memory->size(2) == config_.d_model, [&] {
      return Complaint{
          .where = "bart", .expected = fmt::format("encoder states of width {}", config_.d_model), .got = fmt::format("{}", input.memory->size(2))};
    });
    call.memory = *input.memory;
    const auto options = at::TensorOptions(at::kBool).device(device);
    flags = input.memory_valid ? input.memory_valid->ne(0) : at::ones({input.memory->size(0), input.memory->size(1)}, options);
  }
  if (!flags.defined()) flags = at::zeros({input.batch_size(), 0}, at::TensorOptions(at::kBool).device(device));
  updates.push_back({memory_valid_slot_, flags});
  call.attends_memory = flags.size(1) > 0;
  if (!call.attends_memory || flags.all().item<bool>()) return;
  const at::Tensor empty = flags.any(-1, true).logical_not();
  call.memory_mask = flags.logical_or(empty).view({flags.size(0), 1, 1, flags.size(1)});
  if (empty.any().item<bool>()) call.memory_empty = empty.unsqueeze(-1);
}

ModelOutput BartDecoderModel::forward(const ModelInput& input, nn::State state) {
  check_input(input, state);
  const auto call = std::make_shared<LayerCall>();
  if (input.valid) call->valid = input.valid->ne(0);
  call->plan = nn::plan_sequence(input.batch_size(), input.seq_len(), state, call->valid, input.document_ids);
  call->state = std::move(state);
  call->window = nn::plan_window(call->plan, 0, call->valid, call->slot(valid_slot_));
  call->trace = input.trace;
  std::vector<nn::SlotUpdate> updates;
  read_memory(input, *call, updates);

  at::Tensor x = embed(input, call->plan);
  call->mask = nn::visible_keys(call->plan, call->window, x.device());
  trace_hidden(input, 0, x);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    x = run_layer<Block, LayerCall>(blocks_[i], call, x, updates);
    trace_hidden(input, i + 1, x);
  }
  updates.push_back(nn::kept_flags(valid_slot_, call->slot(valid_slot_), call->valid, call->window, call->plan, x.device()));
  return {.hidden = x, .state = layout_.next(std::move(updates), call->plan.end_position)};
}

std::vector<NamedTensor> BartDecoderModel::public_state(const nn::State& state) const {
  std::vector<NamedTensor> named;
  const auto heads = [&](nn::Slot slot) {
    const at::Tensor& tensor = state[slot];
    return tensor.view({tensor.size(0), tensor.size(1), config_.decoder_attention_heads, -1}).transpose(1, 2);
  };
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const SelfAttention& self = blocks_[i]->self_attention();
    const CrossAttention& cross = blocks_[i]->cross_attention();
    named.push_back({fmt::format("cache.{}.self_key", i), heads(self.key_slot())});
    named.push_back({fmt::format("cache.{}.self_value", i), heads(self.value_slot())});
    if (state[cross.key_slot()].size(1) == 0) continue;
    named.push_back({fmt::format("cache.{}.cross_key", i), heads(cross.key_slot())});
    named.push_back({fmt::format("cache.{}.cross_value", i), heads(cross.value_slot())});
  }
  return named;
}

}  // namespace everlong::models::bart_decoder
