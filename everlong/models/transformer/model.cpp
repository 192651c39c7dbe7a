#include "everlong/models/transformer/model.h"

#include <cmath>

#include <fmt/format.h>

#include "everlong/nn/activation.h"
#include "everlong/nn/token_places.h"
#include "everlong/ops/gates/gates.h"
#include "everlong/tensor/device.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::transformer {
namespace {

/// Rotates the halves of each head by the angles of its position. Shapes  x [B, H, T, K]; cosine, sine [B or 1, 1, T, K / 2]
at::Tensor rotate(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine) {
  const auto halves = x.to(cosine.scalar_type()).chunk(2, -1);
  return at::cat({halves[0] * cosine - halves[1] * sine, halves[1] * cosine + halves[0] * sine}, -1).to(x.scalar_type());
}

std::shared_ptr<nn::Linear> make_linear(int64_t in, int64_t out, bool bias, double std) {
  auto linear = std::make_shared<nn::Linear>(in, out, bias);
  nn::init_normal_(linear->weight, std);
  return linear;
}

}  // namespace

Block::Block(const Config& config, nn::StateLayout& layout, const std::string& state_prefix) : config_(config) {
  const int64_t D = config.hidden_size, K = config.head_width(), Q = config.num_attention_heads * K, KV = config.key_value_heads() * K;
  const double std = config.initializer_range;
  const auto norm = [&](const std::string& name) {
    auto holder = register_module(name, std::make_shared<torch::nn::Module>());
    return holder->register_parameter("weight", at::ones({D}, at::kFloat));
  };
  attention_norm_ = norm("attention_norm");
  ffn_norm_ = norm("ffn_norm");
  auto attention = register_module("attention", std::make_shared<torch::nn::Module>());
  q_proj_ = attention->register_module("q_proj", make_linear(D, Q, config.attention_bias, std));
  k_proj_ = attention->register_module("k_proj", make_linear(D, KV, config.attention_bias, std));
  v_proj_ = attention->register_module("v_proj", make_linear(D, KV, config.attention_bias, std));
  o_proj_ = attention->register_module("o_proj", make_linear(Q, D, config.attention_bias, std));
  auto ffn = register_module("ffn", std::make_shared<torch::nn::Module>());
  gate_proj_ = ffn->register_module("gate_proj", make_linear(D, config.intermediate_size, config.mlp_bias, std));
  up_proj_ = ffn->register_module("up_proj", make_linear(D, config.intermediate_size, config.mlp_bias, std));
  down_proj_ = ffn->register_module("down_proj", make_linear(config.intermediate_size, D, config.mlp_bias, std));
  const std::vector<int64_t> shape{0, config.key_value_heads(), K};
  key_slot_ = layout.add({.name = state_prefix + ".key", .shape = shape, .kind = nn::SlotKind::cache, .grows = true});
  value_slot_ = layout.add({.name = state_prefix + ".value", .shape = shape, .kind = nn::SlotKind::cache, .grows = true});
}

at::Tensor Block::attend(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) {
  const auto heads = [&](const at::Tensor& y) { return y.view({x.size(0), x.size(1), -1, config_.head_width()}); };
  const at::Tensor query = rotate(heads(q_proj_->forward(x)).transpose(1, 2), call.cosine, call.sine);
  const at::Tensor key = rotate(heads(k_proj_->forward(x)).transpose(1, 2), call.cosine, call.sine).transpose(1, 2);
  const at::Tensor value = heads(v_proj_->forward(x));

  const at::Tensor key_past = call.slot(key_slot_), value_past = call.slot(value_slot_);
  const at::Tensor keys = nn::with_past(key_past, key, call.window), values = nn::with_past(value_past, value, call.window);
  updates.push_back({key_slot_, nn::kept(key_past, keys, call.window, call.plan)});
  updates.push_back({value_slot_, nn::kept(value_past, values, call.window, call.plan)});

  const bool plain = !call.mask && call.window.past == 0;
  const bool grouped = config_.key_value_heads() != config_.num_attention_heads;
  const double attention_dropout = is_training() ? config_.attention_dropout : 0.0;
  const at::Tensor attended = at::scaled_dot_product_attention(query, keys.transpose(1, 2), values.transpose(1, 2), call.mask, attention_dropout, plain,
                                                               std::nullopt, grouped);
  return o_proj_->forward(attended.transpose(1, 2).reshape({x.size(0), x.size(1), -1}));
}

at::Tensor Block::forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) {
  const auto drop = [&](const at::Tensor& y) { return nn::dropout(y, config_.hidden_dropout, is_training()); };
  const at::Tensor y = x + drop(attend(ops::rms_norm(x, attention_norm_, config_.rms_norm_eps), call, updates));
  const at::Tensor normed = ops::rms_norm(y, ffn_norm_, config_.rms_norm_eps);
  return y + drop(down_proj_->forward(ops::silu_mul(up_proj_->forward(normed), gate_proj_->forward(normed))));
}

TransformerModel::TransformerModel(const Config& config) : config_(config) {
  layout_.set_owner(config.fingerprint());
  embedding_ = register_module("embedding", std::make_shared<nn::Embedding>(config.vocab_size, config.hidden_size, config.pad_token_id));
  nn::init_normal_(embedding_->weight, config.initializer_range);
  const auto layers = std::make_shared<torch::nn::Module>();
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    blocks_.push_back(std::make_shared<Block>(config, layout_, fmt::format("layers.{}", i)));
    layers->register_module(fmt::format("{}", i), blocks_.back());
  }
  register_module("layers", layers);
  norm_ = register_module("norm", std::make_shared<torch::nn::Module>())->register_parameter("weight", at::ones({config.hidden_size}, at::kFloat));
  valid_slot_ = layout_.add({.name = "key_valid", .shape = {0}, .kind = nn::SlotKind::flag, .grows = true});
}

void TransformerModel::set_positions(LayerCall& call, at::Device device) const {
  const int64_t half = config_.head_width() / 2;
  const at::Tensor frequencies = (at::arange(half, at::kDouble) * (-std::log(config_.rope_theta) / static_cast<double>(half))).exp();
  const at::Tensor angles = (nn::token_positions(call.plan).to(at::kDouble).unsqueeze(-1) * frequencies).unsqueeze(1);
  const at::ScalarType wide = accumulate_dtype(compute_dtype());
  call.cosine = angles.cos().to(device, wide);
  call.sine = angles.sin().to(device, wide);
  call.mask = nn::visible_keys(call.plan, call.window, device);
}

ModelOutput TransformerModel::forward(const ModelInput& input, nn::State state) {
  check_input(input, state);
  const int64_t batch_size = input.batch_size(), seq_len = input.seq_len();
  const auto call = std::make_shared<LayerCall>();
  if (input.valid) call->valid = input.valid->ne(0);
  call->plan = nn::plan_sequence(batch_size, seq_len, state, call->valid, input.document_ids);
  call->state = std::move(state);
  call->window = nn::plan_window(call->plan, 0, call->valid, call->slot(valid_slot_));
  call->trace = input.trace;
  at::Tensor x = input.embeddings ? input.embeddings->to(compute_dtype()) : embedding_->forward(input.tokens, compute_dtype());
  set_positions(*call, x.device());
  trace_hidden(input, 0, x);
  std::vector<nn::SlotUpdate> updates;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    x = run_layer<Block, LayerCall>(blocks_[i], call, x, updates);
    trace_hidden(input, i + 1, x);
  }
  updates.push_back(nn::kept_flags(valid_slot_, call->slot(valid_slot_), call->valid, call->window, call->plan, x.device()));
  return {.hidden = ops::rms_norm(x, norm_, config_.rms_norm_eps), .state = layout_.next(std::move(updates), call->plan.end_position)};
}

}  // namespace everlong::models::transformer
