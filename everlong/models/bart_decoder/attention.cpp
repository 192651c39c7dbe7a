#include "everlong/models/bart_decoder/attention.h"

#include <cmath>

#include <fmt/format.h>

#include "everlong/tensor/torch.h"

namespace everlong::models::bart_decoder {
namespace {

std::shared_ptr<nn::Linear> make_linear(int64_t in, int64_t out, double std) {
  auto linear = std::make_shared<nn::Linear>(in, out);
  nn::init_normal_(linear->weight, std);
  return linear;
}

/// The weights themselves, which the fused attention never shows. Shapes  q [B, H, T, K]; k [B, H, S, K]; returns [B, H, T, S]
at::Tensor attention_weights(const at::Tensor& q, const at::Tensor& k, const std::optional<at::Tensor>& mask, bool causal) {
  at::Tensor scores = q.matmul(k.transpose(-1, -2)) / std::sqrt(static_cast<double>(q.size(-1)));
  if (mask) scores = scores.masked_fill(mask->logical_not(), -INFINITY);
  if (causal) scores = scores.masked_fill(at::ones({q.size(2), k.size(2)}, q.options().dtype(at::kBool)).triu(1), -INFINITY);
  return scores.softmax(-1);
}

}  // namespace

Attention::Attention(const Config& config, nn::StateLayout& layout, int64_t layer, nn::SlotSpec slots) : config_(config), layer_(layer) {
  const int64_t D = config.d_model;
  q_proj_ = register_module("q_proj", make_linear(D, D, config.init_std));
  k_proj_ = register_module("k_proj", make_linear(D, D, config.init_std));
  v_proj_ = register_module("v_proj", make_linear(D, D, config.init_std));
  out_proj_ = register_module("out_proj", make_linear(D, D, config.init_std));
  const std::string prefix = fmt::format("layers.{}.{}", layer, slots.name);
  slots.shape = {0, D};
  slots.kind = nn::SlotKind::cache;
  slots.name = prefix + ".key";
  key_slot_ = layout.add(slots);
  slots.name = prefix + ".value";
  value_slot_ = layout.add(slots);
}

at::Tensor Attention::attend(const at::Tensor& x, const at::Tensor& keys, const at::Tensor& values, const std::optional<at::Tensor>& mask,
                             bool causal, const Trace* trace, const std::string& name) const {
  const int64_t H = config_.decoder_attention_heads;
  const auto heads = [&](const at::Tensor& y) { return y.view({y.size(0), y.size(1), H, -1}).transpose(1, 2); };
  const at::Tensor q = heads(q_proj_->forward(x)), k = heads(keys), v = heads(values);
  if (trace != nullptr) (*trace)(name, attention_weights(q, k, mask, causal));
  const double p = is_training() ? config_.attention_dropout : 0.0;
  const at::Tensor attended = at::scaled_dot_product_attention(q, k, v, mask, p, causal);
  return attended.transpose(1, 2).reshape(x.sizes());
}

SelfAttention::SelfAttention(const Config& config, nn::StateLayout& layout, int64_t layer)
    : Attention(config, layout, layer, {.name = "attention", .grows = true}) {}

at::Tensor SelfAttention::forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) {
  const at::Tensor key_past = call.slot(key_slot_), value_past = call.slot(value_slot_);
  const at::Tensor keys = nn::with_past(key_past, k_proj_->forward(x), call.window);
  const at::Tensor values = nn::with_past(value_past, v_proj_->forward(x), call.window);
  updates.push_back({key_slot_, nn::kept(key_past, keys, call.window, call.plan)});
  updates.push_back({value_slot_, nn::kept(value_past, values, call.window, call.plan)});
  const bool causal = !call.mask && call.window.past == 0;
  return out_proj_->forward(attend(x, keys, values, call.mask, causal, call.trace, fmt::format("attention.{}", layer_)));
}

CrossAttention::CrossAttention(const Config& config, nn::StateLayout& layout, int64_t layer)
    : Attention(config, layout, layer, {.name = "memory", .of_memory = true}) {}

at::Tensor CrossAttention::forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) {
  if (!call.attends_memory) {
    const at::Tensor nothing = at::zeros({x.size(0), 0, x.size(2)}, x.options());
    updates.push_back({key_slot_, nothing});
    updates.push_back({value_slot_, nothing});
    return {};
  }
  const at::Tensor memory = call.memory.defined() ? call.memory.to(x.scalar_type()) : at::Tensor();
  const at::Tensor keys = memory.defined() ? k_proj_->forward(memory) : call.slot(key_slot_).to(x.scalar_type());
  const at::Tensor values = memory.defined() ? v_proj_->forward(memory) : call.slot(value_slot_).to(x.scalar_type());
  updates.push_back({key_slot_, keys});
  updates.push_back({value_slot_, values});
  at::Tensor attended = attend(x, keys, values, call.memory_mask, false, call.trace, fmt::format("cross_attention.{}", layer_));
  if (call.memory_empty) attended = attended.masked_fill(*call.memory_empty, 0);
  return out_proj_->forward(attended);
}

}  // namespace everlong::models::bart_decoder
