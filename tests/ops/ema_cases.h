#pragma once
// Inputs that the tests of the EMA share.

#include <algorithm>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "everlong/ops/ema/ema.h"
#include "tests/support/torch/tolerance.h"

namespace everlong::ops {

struct EmaCase {
  at::Tensor x, q, c, state;

  /// Length of the sums in an output, for tolerance_for().
  [[nodiscard]] int64_t terms() const { return q.size(1) + std::min<int64_t>(x.size(1), 1000); }
};

/// Numbers as in training: poles between 0.3 and 0.999, a carried state of the size that the inputs build up.
inline EmaCase random_ema_case(at::IntArrayRef sizes, int64_t ema_ndim, at::ScalarType dtype = at::kFloat, uint64_t seed = 7) {
  at::manual_seed(seed);
  const int64_t batch_size = sizes[0], model_dim = sizes[2];
  const auto parameters = dtype == at::kDouble ? at::kDouble : at::kFloat;
  return {at::randn(sizes).to(dtype), (0.3 + 0.699 * at::rand({model_dim, ema_ndim})).to(parameters), at::randn({model_dim, ema_ndim}).to(parameters),
          at::randn({batch_size, model_dim, ema_ndim}).to(parameters)};
}

/// A few documents a row.
inline at::Tensor random_restarts(int64_t batch_size, int64_t seq_len) {
  at::manual_seed(11);
  return at::rand({batch_size, seq_len}).lt(3.0 / static_cast<double>(seq_len + 2));
}

/// From 0 to T.
inline at::Tensor ragged_lengths(int64_t batch_size, int64_t seq_len) {
  return at::arange(batch_size).mul(seq_len).floor_divide(std::max<int64_t>(1, batch_size - 1));
}

inline EmaOptions in_fp64(EmaOptions options) {
  if (options.state) options.state = options.state->to(at::kDouble);
  return options;
}

/// The reference on the same numbers in fp64.
inline EmaResult exact(const EmaCase& in, const EmaOptions& options) {
  return ema_reference(in.x.to(at::kDouble), in.q.to(at::kDouble), in.c.to(at::kDouble), in_fp64(options));
}

/// Gradients of <output, dy> + <final state, dstate>, by `function` in the dtypes of `in`. The case's state goes in as the initial one.
template <class Function>
EmaCase gradients_of(Function&& function, const EmaCase& in, EmaOptions options, const at::Tensor& dy, const at::Tensor& dstate) {
  const auto leaf = [](const at::Tensor& tensor) { return tensor.detach().clone().requires_grad_(true); };
  const EmaCase leaves = {leaf(in.x), leaf(in.q), leaf(in.c), leaf(in.state)};
  options.state = leaves.state;
  const EmaResult result = function(leaves.x, leaves.q, leaves.c, options);
  std::vector<at::Tensor> outputs = {result.output}, weights = {dy.to(result.output.scalar_type())};
  if (dstate.defined()) {
    outputs.push_back(result.state);
    weights.push_back(dstate.to(result.state.scalar_type()));
  }
  const auto g = torch::autograd::grad(outputs, {leaves.x, leaves.q, leaves.c, leaves.state}, weights);
  return {g[0], g[1], g[2], g[3]};
}

inline EmaCase ema_gradients(const EmaCase& in, const EmaOptions& options, const at::Tensor& dy, const at::Tensor& dstate) {
  return gradients_of(ema, in, options, dy, dstate);
}

inline EmaCase exact_gradients(const EmaCase& in, const EmaOptions& options, const at::Tensor& dy, const at::Tensor& dstate) {
  const EmaCase wide = {in.x.to(at::kDouble), in.q.to(at::kDouble), in.c.to(at::kDouble), in.state.to(at::kDouble)};
  return gradients_of(ema_reference, wide, options, dy, dstate);
}

}  // namespace everlong::ops
