#include "everlong/models/megalodon/block.h"

#include <cmath>

#include <fmt/format.h>

#include "everlong/models/megalodon/attention.h"
#include "everlong/models/megalodon/rotary.h"
#include "everlong/nn/activation.h"
#include "everlong/ops/gates/gates.h"
#include "everlong/ops/linear/linear.h"
#include "everlong/ops/query_attention/query_attention.h"
#include "everlong/tensor/activation_checkpointing.h"
#include "everlong/tensor/device.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::megalodon {
namespace {

/// Heads as rows of their own. Shapes  x [B, S, H w]; returns [B H, S, w]
at::Tensor split_heads(const at::Tensor& x, int64_t num_heads) {
  if (num_heads == 1) return x;
  return x.view({x.size(0), x.size(1), num_heads, -1}).transpose(1, 2).reshape({x.size(0) * num_heads, x.size(1), -1});
}

at::Tensor merge_heads(const at::Tensor& x, int64_t num_heads) {
  if (num_heads == 1) return x;
  return x.view({-1, num_heads, x.size(1), x.size(2)}).transpose(1, 2).reshape({x.size(0) / num_heads, x.size(1), -1});
}

/// A weight that is stored as its difference from 1; undefined where a norm has none.
at::Tensor from_offset(const at::Tensor& weight, nn::Derived<at::Tensor>& kept) {
  return weight.defined() ? kept.get({weight}, 0, [&] { return weight + 1; }) : weight;
}

}  // namespace

GatedAttention::GatedAttention(const Config& config, nn::StateLayout& layout, int64_t layer) : config_(config), layer_(layer) {
  const int64_t D = config.model_dim, E = config.value_dim, Z = config.z_dim, kept = config.cache_len();
  const std::string prefix = fmt::format("layers.{}", layer);
  norm_ = register_module("norm", std::make_shared<TimestepNorm>(config, layout, prefix + ".norm"));
  ema_ = register_module("ema", std::make_shared<ComplexEma>(config, layout, prefix + ".ema"));
  if (config.norm_affine)
    ema_norm_weight_ = register_module("ema_norm", std::make_shared<torch::nn::Module>())->register_parameter("weight", at::zeros({D}, at::kFloat));
  shared_proj_ = register_module("shared_proj", make_linear(config, D, Z));
  value_proj_ = register_module("value_proj", make_linear(config, D, E));
  gate_proj_ = register_module("gate_proj", make_linear(config, D, E));
  candidate_proj_ = register_module("candidate_proj", make_linear(config, D, D));
  output_proj_ = register_module("output_proj", make_linear(config, E, D, /*bias=*/false));
  qk_scale_ = register_parameter("qk_scale", at::zeros({2, Z}, at::kFloat));
  qk_offset_ = register_parameter("qk_offset", at::zeros({2, Z}, at::kFloat));
  if (!config.causal) return;
  key_slot_ = layout.add({.name = prefix + ".key", .shape = {kept, Z}, .kind = nn::SlotKind::cache});
  value_slot_ = layout.add({.name = prefix + ".value", .shape = {kept, E}, .kind = nn::SlotKind::cache});
}

at::Tensor GatedAttention::forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) const {
  const auto drop = [&](const at::Tensor& y) { return nn::dropout(y, config_.hidden_dropout, is_training()); };
  const at::Tensor t = norm_->forward(x, call, updates);
  const at::Tensor smoothed = ema_->forward(t, call, updates);
  const at::Tensor normed = ops::rms_norm(smoothed, from_offset(ema_norm_weight_, norm_scale_), config_.norm_eps);
  call.emit(layer_, "timenorm", t);
  call.emit(layer_, "cema", smoothed);
  call.emit(layer_, "rmsnorm", normed);
  const at::Tensor m = drop(normed);

  const int64_t width = config_.head_width();
  const at::Tensor shared = shared_proj_->forward(m);
  const at::Tensor unit = ops::rms_norm(shared.view({x.size(0), x.size(1), -1, width}), {}, config_.norm_eps).view(shared.sizes());
  const auto [query, key] = queries_and_keys(unit, call);
  const at::Tensor value = ops::linear(t, value_proj_->matrix(), value_proj_->bias, {.silu = true});
  const at::Tensor attended = attend(query, key, value, call, updates);
  const at::Tensor gated = drop(ops::silu_mul(attended, gate_proj_->forward(m)));
  const at::Tensor y = nn::dropout(candidate_proj_->forward(m) + output_proj_->forward(gated), config_.dropout, is_training(), x);
  call.emit(layer_, "mega", y);
  return y;
}

/// Queries and keys of the normed shared representation: each scaled and shifted by its own vectors, then turned by its positions.
std::pair<at::Tensor, at::Tensor> GatedAttention::queries_and_keys(const at::Tensor& unit, const LayerCall& call) const {
  const int64_t B = unit.size(0), T = unit.size(1), Z = unit.size(2);
  const at::Tensor scale = query_key_scale_.get({qk_scale_}, 0, [&] { return (qk_scale_ + 1) / std::sqrt(static_cast<double>(config_.head_width())); });
  const at::Tensor wide = unit.to(accumulate_dtype(unit.scalar_type())).unsqueeze(0);
  const at::Tensor both = at::addcmul(qk_offset_.view({2, 1, 1, Z}), wide, scale.view({2, 1, 1, Z})).view({2 * B, T, Z});
  const at::Tensor turns = call.turns.size(0) == 1 ? call.turns : call.turns.repeat({2, 1, 1});
  const at::Tensor turned = rotate(both, turns).to(unit.scalar_type());
  return {turned.narrow(0, 0, B), turned.narrow(0, B, B)};
}

at::Tensor GatedAttention::attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const LayerCall& call,
                                  std::vector<nn::SlotUpdate>& updates) const {
  const int64_t H = config_.num_heads;
  const at::Tensor key_past = config_.causal ? call.slot(key_slot_) : at::Tensor(),
                   value_past = config_.causal ? call.slot(value_slot_) : at::Tensor();
  const at::Tensor keys = nn::with_past(key_past, key, call.window), values = nn::with_past(value_past, value, call.window);
  const ops::DropoutSpec dropout = nn::draw_dropout(config_.attention_dropout, is_training());
  const bool one_query = is_inference() && query.size(1) == 1 && config_.causal && call.plan.uniform() && !call.key_valid && dropout.p == 0;
  at::Tensor attended;
  if (one_query) {
    const ops::AttentionPiece& piece = call.pieces.front();
    attended = ops::query_attention(query, keys.narrow(1, piece.key_begin, piece.key_len), values.narrow(1, piece.key_begin, piece.key_len), H);
  } else if (dropout.p > 0 && config_.attention_dropout_mode == AttentionDropout::dropkey) {
    attended = merge_heads(dropkey_attention(split_heads(query, H), split_heads(keys, H), split_heads(values, H), call, config_.causal, dropout), H);
  } else {
    attended =
        merge_heads(ops::chunk_attention(
                        split_heads(query, H), split_heads(keys, H), split_heads(values, H), call.distance_bias, call.pieces,
                        {.causal = config_.causal, .scale = 1.0, .key_valid = call.key_valid, .dropout = dropout.p, .dropout_seed = dropout.seed}),
                    H);
  }
  if (config_.causal) {
    updates.push_back({key_slot_, nn::kept(key_past, keys, call.window, call.plan)});
    updates.push_back({value_slot_, nn::kept(value_past, values, call.window, call.plan)});
  }
  return attended;
}

void GatedAttention::name_state(const nn::State& state, const std::string& prefix, int64_t kept, std::vector<NamedTensor>& named) const {
  norm_->name_state(state, prefix + ".norm", named);
  named.push_back({prefix + ".ema.h", ema_->published_state(state)});
  const auto heads = [&](const at::Tensor& slot) {
    return slot.narrow(1, 0, kept).unflatten(2, {config_.num_heads, slot.size(2) / config_.num_heads});
  };
  named.push_back({prefix + ".attn.k", heads(state[key_slot_])});
  named.push_back({prefix + ".attn.v", heads(state[value_slot_])});
}

FeedForward::FeedForward(const Config& config, int64_t layer) : config_(config) {
  const int64_t D = config.model_dim, F = config.ffn_hidden_dim;
  if (config.norm_affine) {
    const auto norm = register_module("norm", std::make_shared<torch::nn::Module>());
    norm_weight_ = norm->register_parameter("weight", at::zeros({D}, at::kFloat));
    norm_bias_ = norm->register_parameter("bias", at::zeros({D}, at::kFloat));
  }
  gate_ = register_module("gate", make_linear(config, D, F, /*bias=*/false));
  down_ = register_module("down", make_linear(config, F, D, /*bias=*/false));
  if (config.swiglu) up_ = register_module("up", make_linear(config, D, F, /*bias=*/false));
  if (config.rescale_nffn) scale_ = register_parameter("scale", at::full({D}, 0.1 * std::pow(0.5, static_cast<double>(layer)), at::kFloat));
}

at::Tensor FeedForward::forward(const at::Tensor& x, const at::Tensor& residual) const {
  const at::Tensor wide = x.to(accumulate_dtype(x.scalar_type()));
  const at::Tensor normed = at::layer_norm(wide, {config_.model_dim}, from_offset(norm_weight_, norm_scale_), norm_bias_, config_.norm_eps).to(x.scalar_type());
  const at::Tensor gate = gate_->forward(normed);
  const at::Tensor inner = nn::dropout(up_ ? ops::silu_mul(up_->forward(normed), gate) : at::silu(gate), config_.hidden_dropout, is_training());
  const at::Tensor output = down_->forward(inner);
  if (!scale_.defined()) return nn::dropout(output, config_.dropout, is_training(), residual);
  return (residual + nn::dropout(output, config_.dropout, is_training()) * scale_).to(x.scalar_type());
}

Block::Block(const Config& config, nn::StateLayout& layout, int64_t layer) {
  attention_ = register_module("attention", std::make_shared<GatedAttention>(config, layout, layer));
  ffn_ = register_module("ffn", std::make_shared<FeedForward>(config, layer));
}

at::Tensor Block::forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) const {
  return ffn_->forward(attention_->forward(x, call, updates), x);
}

}  // namespace everlong::models::megalodon
