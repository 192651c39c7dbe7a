#include <vector>

#include <ATen/ATen.h>

#include "everlong/ops/timestep_norm/timestep_norm.h"

namespace everlong::ops {
namespace {

/// [B, 1] bool, or undefined where all are tokens.
at::Tensor tokens_at(const TimestepNormOptions& options, int64_t t) {
  at::Tensor valid;
  if (options.mask) valid = options.mask->select(1, t).unsqueeze(-1);
  if (!options.lengths) return valid;
  const at::Tensor inside = (*options.lengths > t).unsqueeze(-1);
  return valid.defined() ? at::logical_and(valid, inside) : inside;
}

/// The state after a token with the mean and variance `gu`, `gv` of each group.
TimestepNormState next_state(const TimestepNormState& before, const at::Tensor& gu, const at::Tensor& gv, const at::Tensor& restart, int64_t cap) {
  const at::Tensor count = (restart.defined() ? before.count.masked_fill(restart, 0) : before.count) + 1;
  const at::Tensor n = (cap > 0 ? count.clamp_max(cap) : count).unsqueeze(-1), alone = n == 1, share = n.to(at::kDouble).reciprocal();
  const at::Tensor mean = before.mean.masked_fill(alone, 0), variance = before.variance.masked_fill(alone, 0), d = gu - mean;
  return {count, mean + share * d, variance + share * (gv + (1 - share) * d * d - variance)};
}

}  // namespace

TimestepNormResult timestep_norm_reference(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t num_groups,
                                           const TimestepNormOptions& options) {
  const auto batch_size = x.size(0), seq_len = x.size(1), model_dim = x.size(2);
  const auto f64 = x.options().dtype(at::kDouble);
  const at::Tensor scale = weight.to(at::kDouble) + 1, shift = bias.to(at::kDouble), none = at::zeros({}, f64);
  TimestepNormState state = options.state.value_or(TimestepNormState{
      at::zeros({batch_size}, x.options().dtype(at::kLong)), at::zeros({batch_size, num_groups}, f64), at::ones({batch_size, num_groups}, f64)});
  std::vector<at::Tensor> outputs(static_cast<size_t>(seq_len));
  for (int64_t t = 0; t < seq_len; ++t) {
    const at::Tensor valid = tokens_at(options, t);
    at::Tensor token = x.select(1, t).to(at::kDouble);
    if (valid.defined()) token = at::where(valid, token, none);
    token = token.reshape({batch_size, num_groups, -1});
    const at::Tensor gu = token.mean(-1), gv = (token - gu.unsqueeze(-1)).square().mean(-1);
    const TimestepNormState next = next_state(state, gu, gv, options.restart ? options.restart->select(1, t) : at::Tensor(), options.count_cap);
    const at::Tensor rstd = (next.variance + options.eps).rsqrt();
    at::Tensor y = ((token - next.mean.unsqueeze(-1)) * rstd.unsqueeze(-1)).reshape({batch_size, model_dim}) * scale + shift;
    if (valid.defined()) {
      y = at::where(valid, y, none);
      state = {at::where(valid.squeeze(-1), next.count, state.count), at::where(valid, next.mean, state.mean),
               at::where(valid, next.variance, state.variance)};
    } else {
      state = next;
    }
    outputs[static_cast<size_t>(t)] = y;
  }
  return {at::stack(outputs, 1).to(x.scalar_type()), state};
}

}  // namespace everlong::ops
