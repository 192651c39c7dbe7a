#include "everlong/models/mega/ema_gate.h"

#include "everlong/nn/activation.h"
#include "everlong/nn/linear.h"
#include "everlong/ops/ema/ema.h"
#include "everlong/ops/gates/gates.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::mega {
namespace {

/// A scan from the right forgets after the last token of a document, that is before the token left of each start.
std::optional<at::Tensor> restart_from_the_right(const nn::SequencePlan& plan) {
  if (!plan.restart) return std::nullopt;
  return at::cat({plan.restart->narrow(1, 1, plan.seq_len - 1), at::zeros({plan.batch_size, 1}, at::kBool)}, 1);
}

}  // namespace

EmaGate::EmaGate(const Config& config) : model_dim_(config.hidden_size), bidirectional_(config.bidirectional), truncation_(config.truncation),
      dropout_(config.dropout_prob), by_feature_(config.use_feature_dropout) {
  const int64_t rows = bidirectional_ ? 2 * model_dim_ : model_dim_, states = config.ema_projection_size;
  const auto parameter = [&](const char* name, at::IntArrayRef shape, double std) {
    at::Tensor made = register_parameter(name, at::empty(shape, at::kFloat));
    nn::init_normal_(made, std);
    return made;
  };
  damping_ = parameter("damping", {rows, states}, config.ema_delta_alpha_range);
  decay_ = parameter("decay", {rows, states}, config.ema_delta_alpha_range);
  expansion_ = parameter("expansion", {rows, states}, config.ema_beta_range);
  projection_ = parameter("projection", {rows, states}, config.ema_gamma_omega_range);
  residual_ = parameter("residual", {model_dim_}, config.ema_gamma_omega_range);
  const at::NoGradGuard no_grad;
  for (int64_t n = 0; n < states; ++n) expansion_.select(1, n).add_(n % 2 == 0 ? 1.0 : -1.0);
}

ops::EmaCoefficients EmaGate::coefficients() const {
  return coefficients_.get({damping_, decay_, expansion_, projection_}, 0, [&] {
    return ops::damped_ema_coefficients({.damping = damping_, .decay = decay_, .expansion = expansion_, .projection = projection_});
  });
}

/// What lags of `truncation` and more add to the full filter, to be taken off.
at::Tensor EmaGate::truncated_tail(const at::Tensor& x, const nn::SequencePlan& plan, const ops::EmaCoefficients& all, int64_t first, bool reverse) const {
  const int64_t lag = *truncation_, seq_len = x.size(1);
  const at::Tensor q = all.q.narrow(0, first, model_dim_);
  const at::Tensor c = all.c.narrow(0, first, model_dim_) * (static_cast<double>(lag) * q.log()).exp();
  const at::Tensor gap = at::zeros({x.size(0), lag, model_dim_}, x.options());
  at::Tensor moved = x.narrow(1, reverse ? lag : 0, seq_len - lag);
  if (plan.restart) {  // what moves over the start of a document belongs to another one
    const at::Tensor document = plan.restart->to(at::kLong).cumsum(1);
    const at::Tensor same = document.narrow(1, lag, seq_len - lag).eq(document.narrow(1, 0, seq_len - lag));
    moved = moved.masked_fill(same.logical_not().unsqueeze(-1).to(x.device()), 0);
  }
  const at::Tensor delayed = reverse ? at::cat({moved, gap}, 1) : at::cat({gap, moved}, 1);
  return ops::ema(delayed, q, c, {.restart = reverse ? restart_from_the_right(plan) : plan.restart, .reverse = reverse}).output;
}

EmaGate::Result EmaGate::forward(const at::Tensor& x, const std::optional<at::Tensor>& valid, const nn::SequencePlan& plan, const at::Tensor& state,
                                 bool cached) const {
  const ops::EmaCoefficients all = coefficients();
  const at::Tensor seen = valid ? x.masked_fill(valid->logical_not().unsqueeze(-1), 0) : x;
  const bool truncated = truncation_ && !cached && *truncation_ < x.size(1);

  ops::EmaOptions options{.restart = plan.restart, .lengths = cached ? plan.lengths : std::nullopt};
  if (state.defined()) options.state = state;
  auto [y, h] = ops::ema(seen, all.q.narrow(0, 0, model_dim_), all.c.narrow(0, 0, model_dim_), options);
  if (truncated) y = y - truncated_tail(seen, plan, all, 0, false);
  if (bidirectional_) {
    const at::Tensor q = all.q.narrow(0, model_dim_, model_dim_), c = all.c.narrow(0, model_dim_, model_dim_);
    y = y + ops::ema(seen, q, c, {.restart = restart_from_the_right(plan), .reverse = true}).output;
    if (truncated) y = y - truncated_tail(seen, plan, all, model_dim_, true);
  }
  const ops::DropoutSpec dropout = by_feature_ ? ops::DropoutSpec{} : nn::draw_dropout(dropout_, is_training());
  at::Tensor output = ops::silu_residual(y, x, residual_, dropout);
  if (by_feature_) output = nn::feature_dropout(output, dropout_, is_training());
  return {.output = output, .state = bidirectional_ ? at::Tensor() : h};
}

}  // namespace everlong::models::mega
