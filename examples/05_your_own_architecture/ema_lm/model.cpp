#include "ema_lm/model.h"

#include <fmt/format.h>

#include "everlong/nn/norm.h"
#include "everlong/ops/gates/gates.h"
#include "everlong/ops/ema/ema.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::ema_lm {
namespace {

constexpr double kNormEps = 1e-5;

std::shared_ptr<nn::Linear> make_linear(int64_t in, int64_t out, double std) {
  auto linear = std::make_shared<nn::Linear>(in, out);
  nn::init_normal_(linear->weight, std);
  return linear;
}

}  // namespace

Block::Block(const Config& config, nn::StateLayout& layout, int64_t layer) {
  const int64_t D = config.hidden_size, N = config.ema_ndim;
  norm_ = register_parameter("norm", at::ones({D}, at::kFloat));
  decay_ = register_parameter("decay", at::linspace(0.0, 6.0, N, at::kFloat).repeat({D, 1}));  // half-lives of 1 to 280 tokens
  coefficients_ = register_parameter("coefficients", at::randn({D, N}, at::kFloat) / static_cast<double>(N));
  gate_ = register_module("gate", make_linear(D, D, config.initializer_range));
  output_ = register_module("output", make_linear(D, D, config.initializer_range));
  slot_ = layout.add({.name = fmt::format("layers.{}.ema.h", layer), .shape = {D, N}});
}

at::Tensor Block::forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) {
  const at::Tensor u = ops::rms_norm(x, norm_, kNormEps);
  const at::Tensor seen = call.valid ? u.masked_fill(call.valid->logical_not().unsqueeze(-1), 0) : u;
  ops::EmaOptions options{.restart = call.plan.restart, .lengths = call.plan.lengths};
  if (!call.state.empty()) options.state = call.state[slot_];
  const auto filtered = ops::ema(seen, at::sigmoid(decay_), coefficients_, options);
  updates.push_back({slot_, filtered.state});
  return x + output_->forward(filtered.output * at::silu(gate_->forward(u)));
}

EmaModel::EmaModel(const Config& config) : config_(config) {
  layout_.set_owner(config.fingerprint());
  embedding_ = register_module("embedding", std::make_shared<nn::Embedding>(config.vocab_size, config.hidden_size, config.pad_token_id));
  nn::init_normal_(embedding_->weight, config.initializer_range);
  const auto layers = std::make_shared<torch::nn::Module>();
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    blocks_.push_back(std::make_shared<Block>(config, layout_, i));
    layers->register_module(fmt::format("{}", i), blocks_.back());
  }
  register_module("layers", layers);
  norm_ = register_parameter("norm", at::ones({config.hidden_size}, at::kFloat));
}

ModelOutput EmaModel::forward(const ModelInput& input, nn::State state) {
  check_input(input, state);
  const auto call = std::make_shared<LayerCall>();
  if (input.valid) call->valid = input.valid->to(at::kBool);
  call->plan = nn::plan_sequence(input.tokens.size(0), input.tokens.size(1), state, call->valid, input.document_ids);
  call->state = std::move(state);
  call->trace = input.trace;

  at::Tensor x = embedding_->forward(input.tokens, compute_dtype());
  trace_hidden(input, 0, x);
  std::vector<nn::SlotUpdate> updates;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    x = run_layer<Block, LayerCall>(blocks_[i], call, x, updates);
    trace_hidden(input, i + 1, x);
  }
  return {.hidden = ops::rms_norm(x, norm_, kNormEps), .state = layout_.next(std::move(updates), call->plan.end_position)};
}

}  // namespace everlong::models::ema_lm
