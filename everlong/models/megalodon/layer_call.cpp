#include "everlong/models/megalodon/layer_call.h"

#include <cmath>

#include <fmt/format.h>

#include "everlong/ops/timestep_norm/timestep_norm.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::megalodon {

void LayerCall::emit(int64_t layer, const char* stage, const at::Tensor& value) const {
  if (trace != nullptr) (*trace)(fmt::format("trace.{}.{}", layer, stage), value);
}

std::shared_ptr<nn::Linear> make_linear(const Config& config, int64_t in, int64_t out, bool bias) {
  auto linear = std::make_shared<nn::Linear>(in, out, bias);
  const at::NoGradGuard no_grad;
  switch (config.init_mode) {
    case InitMode::none:
      linear->weight.zero_();
      break;
    case InitMode::bert:
      nn::init_normal_(linear->weight, 0.02);
      break;
    case InitMode::he:
      nn::init_normal_(linear->weight, 1 / std::sqrt(3.0 * static_cast<double>(in)));
      break;
    case InitMode::gaussian:
      nn::init_normal_(linear->weight, 1.0, 0.0, 3.0);
      break;
    case InitMode::xavier: {
      const double bound = std::sqrt(6.0 / static_cast<double>(in + out));
      linear->weight.uniform_(-bound, bound);
      break;
    }
  }
  return linear;
}

TimestepNorm::TimestepNorm(const Config& config, nn::StateLayout& layout, const std::string& state_prefix) : config_(config) {
  weight_ = register_parameter("weight", at::zeros({config.model_dim}, at::kFloat));
  bias_ = register_parameter("bias", at::zeros({config.model_dim}, at::kFloat));
  if (!config.causal) return;
  const std::vector<int64_t> groups{config.norm_num_groups};
  count_slot_ = layout.add({.name = state_prefix + ".count", .shape = {}, .kind = nn::SlotKind::count});
  mean_slot_ = layout.add({.name = state_prefix + ".mean", .shape = groups, .kind = nn::SlotKind::statistic});
  variance_slot_ = layout.add({.name = state_prefix + ".variance", .shape = groups, .kind = nn::SlotKind::statistic});
}

at::Tensor TimestepNorm::forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) const {
  if (!config_.causal) return ops::sequence_norm(x, weight_, bias_, config_.norm_num_groups, call.valid, config_.norm_eps);
  ops::TimestepNormOptions options{
      .restart = call.plan.restart, .lengths = call.plan.lengths, .mask = call.valid, .count_cap = config_.count_cap(), .eps = config_.norm_eps};
  if (!call.state.empty())
    options.state = ops::TimestepNormState{.count = call.state[count_slot_], .mean = call.state[mean_slot_], .variance = call.state[variance_slot_]};
  auto [y, after] = ops::timestep_norm(x, weight_, bias_, config_.norm_num_groups, options);
  updates.push_back({count_slot_, after.count});
  updates.push_back({mean_slot_, after.mean});
  updates.push_back({variance_slot_, after.variance});
  return y;
}

void TimestepNorm::name_state(const nn::State& state, const std::string& prefix, std::vector<NamedTensor>& named) const {
  named.push_back({prefix + ".count", state[count_slot_]});
  named.push_back({prefix + ".mean", state[mean_slot_]});
  named.push_back({prefix + ".var", state[variance_slot_]});
}

ComplexEma::ComplexEma(const Config& config, nn::StateLayout& layout, const std::string& state_prefix) : streams_(config.causal) {
  const int64_t D = config.model_dim, N = config.cema_ndim;
  alpha_ = register_parameter("alpha", at::empty({D, N, 1}, at::kFloat));
  delta_ = register_parameter("delta", at::empty({D, N, 1}, at::kFloat));
  theta_ = register_parameter("theta", at::empty({D, 1, 1}, at::kFloat));
  gamma_ = register_parameter("gamma", at::zeros({D, N, 2}, at::kFloat));
  omega_ = register_parameter("omega", at::empty({D, 1}, at::kFloat));
  initialise(D);
  if (streams_) slot_ = layout.add({.name = state_prefix + ".h", .shape = {D, N, 2}});
}

/// Frequencies spread evenly in their logarithm between 1 / D and nearly 1, over the channels in random order.
void ComplexEma::initialise(int64_t model_dim) {
  const at::NoGradGuard no_grad;
  nn::init_normal_(alpha_, 0.2);
  nn::init_normal_(delta_, 0.2);
  const double D = static_cast<double>(model_dim);
  const at::Tensor frequency = (at::arange(1, model_dim + 1, at::kDouble) * (-std::log(D) / D)).exp().clamp(1e-6, 1 - 1e-6);
  theta_.copy_(frequency.logit().index_select(0, at::randperm(model_dim)).view({-1, 1, 1}));
  at::Tensor real = gamma_.select(2, 0);
  real.normal_();
  nn::init_normal_(omega_, 0.25, 0.0, 4.0);
}

at::Tensor ComplexEma::forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) const {
  const auto coefficients =
      coefficients_.get({alpha_, delta_, theta_, gamma_}, 0, [&] { return ops::complex_ema_coefficients(alpha_, delta_, theta_, gamma_); });
  ops::ComplexEmaOptions options{.restart = call.plan.restart, .lengths = call.plan.lengths};
  if (streams_ && !call.state.empty()) options.state = call.state[slot_];
  auto [y, h] = ops::complex_ema(x, coefficients.q, coefficients.c, omega_.squeeze(-1), options);
  if (streams_) updates.push_back({slot_, h});
  return y;
}

at::Tensor ComplexEma::published_state(const nn::State& state) const {
  return state[slot_] * ops::complex_ema_coefficients(alpha_, delta_, theta_, gamma_).input_weight.unsqueeze(-1);
}

}  // namespace everlong::models::megalodon
