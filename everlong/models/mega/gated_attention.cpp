#include "everlong/models/mega/gated_attention.h"

#include <fmt/format.h>

#include "everlong/ops/gated_attention_step/gated_attention_step.h"
#include "everlong/ops/gates/gates.h"
#include "everlong/ops/linear/linear.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::mega {

GatedAttention::GatedAttention(const Config& config, nn::StateLayout& layout, int64_t layer)
    : config_(config), layer_(layer), streams_(config.streams()) {
  const int64_t D = config.hidden_size, U = config.intermediate_size, Z = config.shared_representation_size;
  norm_ = register_module("norm", std::make_shared<nn::Norm>(norm_type(config), D, config.norm_affine));
  ema_ = register_module("ema", std::make_shared<EmaGate>(config));
  value_proj_ = register_module("value_proj", make_linear(D, U, config.initializer_range));
  mixed_proj_ = register_module("mixed_proj", make_linear(D, 2 * D + Z + U, config.initializer_range));
  output_proj_ = register_module("output_proj", make_linear(U, D, config.initializer_range));
  relative_bias_ = register_module("relative_bias", std::make_shared<RelativeBiasModule>(config));
  qk_scale_ = register_parameter("qk_scale", at::empty({2, Z}, at::kFloat));
  nn::init_normal_(qk_scale_, config.initializer_range);
  qk_offset_ = register_parameter("qk_offset", at::zeros({2, Z}, at::kFloat));
  if (!streams_) return;
  const int64_t C = config.attention_chunk();
  const std::string prefix = fmt::format("layers.{}", layer);
  ema_slot_ = layout.add({.name = prefix + ".ema.h", .shape = {D, config.ema_projection_size}});
  key_slot_ = layout.add({.name = prefix + ".key", .shape = {C, Z}, .kind = nn::SlotKind::cache, .grows = C == 0});
  value_slot_ = layout.add({.name = prefix + ".value", .shape = {C, U}, .kind = nn::SlotKind::cache, .grows = C == 0});
}

ops::ChunkAttentionOptions GatedAttention::attention_options(const LayerCall& call, const ops::DropoutSpec& dropout) const {
  return {.function = config_.attention_activation,
          .causal = config_.is_decoder,
          .key_valid = call.window.valid,
          .dropout = dropout.p,
          .dropout_seed = dropout.seed,
          .dropout_first_query = dropout.first_row};
}

at::Tensor GatedAttention::forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) {
  const at::Tensor normed = config_.normalize_before_mega ? norm_->forward(x) : x;
  const at::Tensor y = step(x, normed, call, updates);
  if (y.defined()) return config_.normalize_before_mega ? y : norm_->forward(y);
  return finish(filter(x, normed, call, updates), call, updates);
}

Filtered GatedAttention::prepare(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) {
  return filter(x, config_.normalize_before_mega ? norm_->forward(x) : x, call, updates);
}

Filtered GatedAttention::filter(const at::Tensor& x, const at::Tensor& normed, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) const {
  const auto smoothed = ema_->forward(normed, call.valid, call.plan, call.slot(ema_slot_), !call.state.empty());
  if (streams_) updates.push_back({ema_slot_, smoothed.state});
  return {.x = x, .normed = normed, .smoothed = smoothed.output};
}

/// One more token of every row, where the op for that serves; undefined elsewhere. The slots are written in place.
at::Tensor GatedAttention::step(const at::Tensor& x, const at::Tensor& normed, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) const {
  const bool plain = config_.activation == nn::Activation::silu && !is_training() && call.trace == nullptr && !call.window.valid;
  if (!streams_ || call.state.empty() || x.size(1) != 1 || !plain || !ops::decodes(x)) return {};
  const at::Tensor key_past = call.slot(key_slot_), value_past = call.slot(value_slot_);
  const ops::GatedAttentionMemory memory{.ema = call.slot(ema_slot_),
                                         .keys = nn::with_room(key_past, 1, call.window, x.scalar_type()),
                                         .values = nn::with_room(value_past, 1, call.window, x.scalar_type())};
  if (!memory.keys.defined() || !memory.values.defined()) return {};
  const ops::EmaCoefficients coefficients = ema_->coefficients();
  const ops::GatedAttentionParameters parameters{.value = {value_proj_->matrix(), value_proj_->bias},
                                                 .mixed = {mixed_proj_->matrix(), mixed_proj_->bias},
                                                 .output = {output_proj_->matrix(), output_proj_->bias},
                                                 .ema_q = coefficients.q,
                                                 .ema_c = coefficients.c,
                                                 .ema_residual = ema_->residual(),
                                                 .qk_scale = qk_scale_,
                                                 .qk_offset = qk_offset_,
                                                 .relative_bias = relative_bias_->forward(call.window.longest),
                                                 .function = config_.attention_activation};
  if (!ops::has_gated_attention_step(x, parameters, memory)) return {};
  const at::Tensor y = ops::gated_attention_step(x, normed, parameters, memory);
  updates.push_back({ema_slot_, memory.ema});
  updates.push_back({key_slot_, nn::kept(key_past, memory.keys, call.window, call.plan)});
  updates.push_back({value_slot_, nn::kept(value_past, memory.values, call.window, call.plan)});
  return y;
}

at::Tensor GatedAttention::finish(const Filtered& in, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) {
  const int64_t D = config_.hidden_size, U = config_.intermediate_size, Z = config_.shared_representation_size;
  const at::Tensor value = nn::activate(config_.activation, value_proj_->forward(in.normed));
  const auto mixed = mixed_proj_->forward(in.smoothed).split_with_sizes({D, Z, U, D}, -1);
  const at::Tensor shared = at::silu(mixed[1]);
  const at::Tensor scale = qk_scale_.to(in.x.scalar_type()), offset = qk_offset_.to(in.x.scalar_type());
  const at::Tensor query = at::addcmul(offset[0], shared, scale[0]), key = at::addcmul(offset[1], shared, scale[1]);

  const at::Tensor attended = attend(query, key, value, call, updates);
  const at::Tensor y = update(in.x, mixed[0], mixed[3], output_proj_->forward(ops::silu_mul(attended, mixed[2])), call);
  return config_.normalize_before_mega ? y : norm_->forward(y);
}

/// Moves x towards the candidate activation(a + b) as far as sigmoid(gate) says.
at::Tensor GatedAttention::update(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& a, const at::Tensor& b,
                                  const LayerCall& call) const {
  const bool by_feature = is_training() && config_.dropout_prob > 0 && config_.use_feature_dropout;
  if (config_.activation == nn::Activation::silu && !by_feature)
    return ops::gated_update(x, gate, a, b, nn::draw_dropout(config_.dropout_prob, is_training(), call.first_row));
  const at::Tensor candidate = drop(config_, call, nn::activate(config_.activation, a + b), config_.dropout_prob, is_training());
  return at::addcmul(x, gate.sigmoid(), candidate - x);
}

at::Tensor GatedAttention::attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const LayerCall& call,
                                  std::vector<nn::SlotUpdate>& updates) {
  const at::Tensor key_past = call.slot(key_slot_), value_past = call.slot(value_slot_);
  const at::Tensor keys = nn::with_past(key_past, key, call.window), values = nn::with_past(value_past, value, call.window);
  const at::Tensor bias = relative_bias_->forward(call.window.longest);
  if (call.trace != nullptr) trace_weights(query, keys, bias, call);

  const ops::DropoutSpec attention_dropout = nn::draw_dropout(config_.attention_probs_dropout_prob, is_training(), call.first_row);
  const at::Tensor attended = ops::chunk_attention(query, keys, drop(config_, call, values, config_.hidden_dropout_prob, is_training()), bias,
                                                   call.window.pieces, attention_options(call, attention_dropout));
  if (streams_) {
    updates.push_back({key_slot_, nn::kept(key_past, keys, call.window, call.plan)});
    updates.push_back({value_slot_, nn::kept(value_past, values, call.window, call.plan)});
  }
  return attended;
}

/// Attention weights, read off by attending to unit vectors. Shapes  [B, T, A]: row t, weights within its chunk.
void GatedAttention::trace_weights(const at::Tensor& query, const at::Tensor& key, const at::Tensor& bias, const LayerCall& call) const {
  const int64_t span = call.window.longest, total = key.size(1);
  at::Tensor unit = at::zeros({key.size(0), total, span}, key.options());
  for (const ops::AttentionPiece& piece : call.window.pieces) {
    at::Tensor rows = piece.row < 0 ? unit : unit.narrow(0, piece.row, 1);
    rows.narrow(1, piece.key_begin, piece.key_len).copy_(at::eye(piece.key_len, span, key.options()).unsqueeze(0));
  }
  (*call.trace)(fmt::format("attention.{}", layer_), ops::chunk_attention(query, key, unit, bias, call.window.pieces, attention_options(call, {})));
}

FeedForward::FeedForward(const Config& config) : config_(config) {
  norm_ = register_module("norm", std::make_shared<nn::Norm>(norm_type(config), config.hidden_size, config.norm_affine));
  up_ = register_module("up", make_linear(config.hidden_size, config.nffn_hidden_size, config.initializer_range));
  down_ = register_module("down", make_linear(config.nffn_hidden_size, config.hidden_size, config.initializer_range));
}

at::Tensor FeedForward::forward(const at::Tensor& x, const LayerCall& call) {
  const at::Tensor normed = config_.normalize_before_ffn ? norm_->forward(x) : x;
  const bool silu = config_.activation == nn::Activation::silu;
  const at::Tensor raised = ops::linear(normed, up_->matrix(), up_->bias, {.silu = silu}),
                   active = silu ? raised : nn::activate(config_.activation, raised);
  const at::Tensor inner = drop(config_, call, active, config_.nffn_activation_dropout_prob, is_training());
  const at::Tensor y = is_training() ? drop(config_, call, down_->forward(inner), config_.dropout_prob, true, x)
                                     : ops::linear(inner, down_->matrix(), down_->bias, {.residual = x});
  return config_.normalize_before_ffn ? y : norm_->forward(y);
}

}  // namespace everlong::models::mega
