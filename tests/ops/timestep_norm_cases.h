#pragma once
// Inputs that the tests of timestep norm share.

#include <algorithm>
#include <vector>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "everlong/ops/timestep_norm/timestep_norm.h"
#include "tests/support/torch/tolerance.h"

namespace everlong::ops {

struct NormCase {
  at::Tensor x, weight, bias;
  TimestepNormState state;
  int64_t num_groups = 1;

  /// Length of the sums in an output, for tolerance_for(): what is summed over time is summed in fp64.
  [[nodiscard]] int64_t terms() const { return x.size(2) / num_groups; }
  [[nodiscard]] TimestepNormResult run(const TimestepNormOptions& options = {}) const { return timestep_norm(x, weight, bias, num_groups, options); }
};

/// Features with offsets and scales of their own; a carried state that a few tokens have built.
inline NormCase random_norm_case(at::IntArrayRef sizes, int64_t num_groups, at::ScalarType dtype = at::kFloat, uint64_t seed = 7) {
  at::manual_seed(seed);
  const int64_t batch_size = sizes[0], model_dim = sizes[2];
  const auto parameters = dtype == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor x = at::randn(sizes) * (0.5 + at::rand({model_dim})) + at::randn({model_dim});
  return {x.to(dtype),
          (0.3 * at::randn({model_dim})).to(parameters),
          (0.3 * at::randn({model_dim})).to(parameters),
          {at::arange(batch_size, at::kLong) * 3, at::randn({batch_size, num_groups}, at::kDouble),
           at::rand({batch_size, num_groups}, at::kDouble) + 0.5},
          num_groups};
}

/// Padding before, between and after tokens; the last row has no token at all if there are three or more.
inline at::Tensor holed_mask(int64_t batch_size, int64_t seq_len) {
  at::manual_seed(13);
  at::Tensor mask = at::rand({batch_size, seq_len}).gt(0.3);
  if (batch_size > 2) mask.select(0, batch_size - 1).fill_(false);
  return mask;
}

inline at::Tensor norm_restarts(int64_t batch_size, int64_t seq_len) {
  at::manual_seed(11);
  return at::rand({batch_size, seq_len}).lt(3.0 / static_cast<double>(seq_len + 2));
}

/// From 0 to T.
inline at::Tensor norm_lengths(int64_t batch_size, int64_t seq_len) {
  return at::arange(batch_size).mul(seq_len).floor_divide(std::max<int64_t>(1, batch_size - 1));
}

inline NormCase in_fp64(const NormCase& in) {
  return {in.x.to(at::kDouble), in.weight.to(at::kDouble), in.bias.to(at::kDouble), in.state, in.num_groups};
}

/// The reference on the same numbers in fp64.
inline TimestepNormResult exact(const NormCase& given, const TimestepNormOptions& options) {
  const NormCase in = in_fp64(given);
  return timestep_norm_reference(in.x, in.weight, in.bias, in.num_groups, options);
}

struct NormGradients {
  at::Tensor x, weight, bias, mean, variance;
};

/// Gradients of <output, dy> + <final mean, dmean> + <final variance, dvariance>. The case's state goes in as the initial one.
template <class Function>
NormGradients gradients_of(Function&& function, const NormCase& in, TimestepNormOptions options, const at::Tensor& dy,
                           const TimestepNormState& dstate) {
  const auto leaf = [](const at::Tensor& tensor) { return tensor.detach().clone().requires_grad_(true); };
  const at::Tensor x = leaf(in.x), weight = leaf(in.weight), bias = leaf(in.bias);
  options.state = TimestepNormState{in.state.count, leaf(in.state.mean), leaf(in.state.variance)};
  const TimestepNormResult result = function(x, weight, bias, in.num_groups, options);
  std::vector<at::Tensor> outputs = {result.output}, weights = {dy.to(result.output.scalar_type())};
  if (dstate.mean.defined()) {
    outputs.insert(outputs.end(), {result.state.mean, result.state.variance});
    weights.insert(weights.end(), {dstate.mean, dstate.variance});
  }
  const auto g = torch::autograd::grad(outputs, {x, weight, bias, options.state->mean, options.state->variance}, weights);
  return {g[0], g[1], g[2], g[3], g[4]};
}

inline NormGradients norm_gradients(const NormCase& in, const TimestepNormOptions& options, const at::Tensor& dy, const TimestepNormState& dstate) {
  return gradients_of(timestep_norm, in, options, dy, dstate);
}

inline NormGradients exact_gradients(const NormCase& in, const TimestepNormOptions& options, const at::Tensor& dy, const TimestepNormState& dstate) {
  return gradients_of(timestep_norm_reference, in_fp64(in), options, dy, dstate);
}

/// Random gradients of the returned state.
inline TimestepNormState random_dstate(const NormCase& in) { return {{}, at::randn_like(in.state.mean), at::randn_like(in.state.variance)}; }

}  // namespace everlong::ops
