#include "everlong/models/mega/cross_attention.h"

#include <algorithm>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/nn/activation.h"
#include "everlong/ops/gates/gates.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::mega {

CrossAttention::CrossAttention(const Config& config, nn::StateLayout& layout, int64_t layer) : config_(config), layer_(layer) {
  const int64_t D = config.hidden_size, Z = config.shared_representation_size;
  norm_ = register_module("norm", std::make_shared<nn::Norm>(norm_type(config), D, config.norm_affine));
  key_proj_ = register_module("key_proj", make_linear(D, Z, config.initializer_range));
  value_proj_ = register_module("value_proj", make_linear(D, D, config.initializer_range));
  mixed_proj_ = register_module("mixed_proj", make_linear(D, 2 * D + Z, config.initializer_range));
  output_proj_ = register_module("output_proj", make_linear(D, D, config.initializer_range));
  relative_bias_ = register_module("relative_bias", std::make_shared<RelativeBiasModule>(config));
  const std::string prefix = fmt::format("layers.{}.memory", layer);
  key_slot_ = layout.add({.name = prefix + ".key", .shape = {0, Z}, .kind = nn::SlotKind::cache, .of_memory = true});
  value_slot_ = layout.add({.name = prefix + ".value", .shape = {0, D}, .kind = nn::SlotKind::cache, .of_memory = true});
}

at::Tensor CrossAttention::forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) {
  const int64_t D = config_.hidden_size, Z = config_.shared_representation_size;
  const at::Tensor normed = config_.normalize_before_mega ? norm_->forward(x) : x;
  const auto mixed = mixed_proj_->forward(normed).split_with_sizes({D, D, Z}, -1);
  const at::Tensor memory = call.memory.defined() ? call.memory.to(x.scalar_type()) : at::Tensor();
  const at::Tensor key = memory.defined() ? key_proj_->forward(memory) : call.slot(key_slot_);
  const at::Tensor value = memory.defined() ? nn::activate(config_.activation, value_proj_->forward(memory)) : call.slot(value_slot_);
  updates.push_back({key_slot_, key});
  updates.push_back({value_slot_, value});

  const at::Tensor attended = attend(mixed[2], key.to(x.scalar_type()), value.to(x.scalar_type()), call);
  const at::Tensor gated = output_proj_->forward(ops::silu_mul(attended, mixed[1]));
  const at::Tensor candidate = drop(config_, call, nn::activate(config_.activation, gated), config_.dropout_prob, is_training());
  const at::Tensor y = at::addcmul(x, mixed[0].sigmoid(), candidate - x);
  return config_.normalize_before_mega ? y : norm_->forward(y);
}

at::Tensor CrossAttention::attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const LayerCall& call) const {
  const at::Tensor bias = relative_bias_->forward(call.memory_span);
  ops::ChunkAttentionOptions options{.function = config_.attention_activation, .causal = false, .key_valid = call.memory_valid, .attend_if_all_masked = false};
  if (call.trace != nullptr) {
    const at::Tensor unit = at::eye(key.size(1), key.options()).unsqueeze(0).expand({key.size(0), -1, -1}).contiguous();
    (*call.trace)(fmt::format("cross_attention.{}", layer_), ops::chunk_attention(query, key, unit, bias, call.memory_pieces, options));
  }
  const ops::DropoutSpec dropout = nn::draw_dropout(config_.attention_probs_dropout_prob, is_training());
  options.dropout = dropout.p;
  options.dropout_seed = dropout.seed;
  return ops::chunk_attention(query, key, drop(config_, call, value, config_.hidden_dropout_prob, is_training()), bias, call.memory_pieces, options);
}

void plan_memory(LayerCall& call, int64_t memory_len) {
  const nn::SequencePlan& plan = call.plan;
  const auto& start = plan.start_position;
  const bool together = !plan.restart && std::all_of(start.begin(), start.end(), [&](int64_t position) { return position == start.front(); });
  call.memory_span = memory_len;
  const auto add = [&](int64_t row, int64_t begin, int64_t len, int64_t position) {
    call.memory_pieces.push_back({.row = row, .query_begin = begin, .query_len = len, .key_begin = 0, .key_len = memory_len, .query_place = position});
    call.memory_span = std::max(call.memory_span, position + len);
  };
  if (together) {
    add(-1, 0, plan.seq_len, start.front());
  } else {
    for (const nn::Segment& segment : plan.segments) add(segment.row, segment.begin, segment.len, segment.position);
  }
}

}  // namespace everlong::models::mega
