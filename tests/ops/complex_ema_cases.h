#pragma once
// Inputs that the tests of the complex EMA share.

#include <algorithm>
#include <numbers>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "everlong/ops/complex_ema/complex_ema.h"
#include "tests/ops/ema_cases.h"
#include "tests/support/torch/tolerance.h"

namespace everlong::ops {

struct ComplexEmaCase {
  at::Tensor x, q, c, omega, state;

  /// Length of the sums in an output, for tolerance_for().
  [[nodiscard]] int64_t terms() const { return 2 * q.size(1) + std::min<int64_t>(x.size(1), 1000); }
  [[nodiscard]] ComplexEmaCase to(at::ScalarType dtype) const { return {x.to(dtype), q.to(dtype), c.to(dtype), omega.to(dtype), state.to(dtype)}; }
};

/// Numbers as in training: poles of radius 0.3 to 0.999 at any angle, a carried state of the size that the inputs build up.
inline ComplexEmaCase random_complex_ema_case(at::IntArrayRef sizes, int64_t ema_ndim, at::ScalarType dtype = at::kFloat, uint64_t seed = 7) {
  at::manual_seed(seed);
  const int64_t batch_size = sizes[0], model_dim = sizes[2];
  const auto parameters = dtype == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor radius = 0.3 + 0.699 * at::rand({model_dim, ema_ndim, 1}, at::kDouble);
  const at::Tensor angle = 2 * std::numbers::pi * at::rand({model_dim, ema_ndim, 1}, at::kDouble);
  return {at::randn(sizes).to(dtype), (radius * at::cat({at::cos(angle), at::sin(angle)}, -1)).to(parameters),
          at::randn({model_dim, ema_ndim, 2}).to(parameters), at::randn({model_dim}).to(parameters),
          at::randn({batch_size, model_dim, ema_ndim, 2}).to(parameters)};
}

inline ComplexEmaOptions in_fp64(ComplexEmaOptions options) {
  if (options.state) options.state = options.state->to(at::kDouble);
  return options;
}

/// The reference on the same numbers in fp64.
inline ComplexEmaResult exact(const ComplexEmaCase& in, const ComplexEmaOptions& options) {
  const ComplexEmaCase wide = in.to(at::kDouble);
  return complex_ema_reference(wide.x, wide.q, wide.c, wide.omega, in_fp64(options));
}

/// Gradients of <output, dy> + <final state, dstate>, by `function` in the dtypes of `in`. The case's state goes in as the initial one.
template <class Function>
ComplexEmaCase gradients_of(Function&& function, const ComplexEmaCase& in, ComplexEmaOptions options, const at::Tensor& dy,
                            const at::Tensor& dstate) {
  const auto leaf = [](const at::Tensor& tensor) { return tensor.detach().clone().requires_grad_(true); };
  const ComplexEmaCase leaves = {leaf(in.x), leaf(in.q), leaf(in.c), leaf(in.omega), leaf(in.state)};
  options.state = leaves.state;
  const ComplexEmaResult result = function(leaves.x, leaves.q, leaves.c, leaves.omega, options);
  std::vector<at::Tensor> outputs = {result.output}, weights = {dy.to(result.output.scalar_type())};
  if (dstate.defined()) {
    outputs.push_back(result.state);
    weights.push_back(dstate.to(result.state.scalar_type()));
  }
  const auto g = torch::autograd::grad(outputs, {leaves.x, leaves.q, leaves.c, leaves.omega, leaves.state}, weights);
  return {g[0], g[1], g[2], g[3], g[4]};
}

inline ComplexEmaCase complex_ema_gradients(const ComplexEmaCase& in, const ComplexEmaOptions& options, const at::Tensor& dy,
                                            const at::Tensor& dstate) {
  return gradients_of(complex_ema, in, options, dy, dstate);
}

inline ComplexEmaCase exact_gradients(const ComplexEmaCase& in, const ComplexEmaOptions& options, const at::Tensor& dy, const at::Tensor& dstate) {
  return gradients_of(complex_ema_reference, in.to(at::kDouble), options, dy, dstate);
}

}  // namespace everlong::ops
