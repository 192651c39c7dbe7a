#include "tests/support/torch/gradcheck.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include <ATen/ATen.h>
#include <c10/util/StringUtil.h>
#include <torch/csrc/autograd/autograd.h>

namespace everlong::testing {
namespace {

using Tensors = std::vector<at::Tensor>;
using Function = std::function<Tensors(const Tensors&)>;

/// Weights of an output, from its shape alone: no entry is 0, none equals another by symmetry.
at::Tensor weights_like(const at::Tensor& output, size_t index) {
  const auto i = at::arange(output.numel(), at::kDouble);
  at::Tensor weights = at::sin(i * 1.7 + 0.3 * static_cast<double>(index + 1)) + 1.3;
  if (output.is_complex()) weights = at::complex(weights, at::cos(i * 0.9 + 1));
  return weights.view(output.sizes());
}

at::Tensor objective(const Function& function, const Tensors& inputs) {
  const Tensors outputs = function(inputs);
  at::Tensor sum = at::zeros({}, at::kDouble);
  for (size_t k = 0; k < outputs.size(); ++k) {
    const at::Tensor product = outputs[k] * weights_like(outputs[k], k);
    sum = sum + (product.is_complex() ? at::real(product).sum() : product.sum());
  }
  return sum;
}

/// Real and imaginary parts as entries of their own; shares memory with `tensor`.
at::Tensor entries(const at::Tensor& tensor) { return (tensor.is_complex() ? at::view_as_real(tensor) : tensor).view(-1); }

double numeric_derivative(const Function& function, const Tensors& inputs, const at::Tensor& flat, int64_t i, double step) {
  const at::NoGradGuard no_grad;
  const double value = flat[i].item<double>();
  flat[i].fill_(value + step);
  const double above = objective(function, inputs).item<double>();
  flat[i].fill_(value - step);
  const double below = objective(function, inputs).item<double>();
  flat[i].fill_(value);
  return (above - below) / (2 * step);
}

struct Worst {
  double excess = 0;  ///< error over what is allowed
  std::string text = {};
};

void check_input(const Function& function, const Tensors& inputs, size_t k, const NamedInput& named, const at::Tensor& gradient,
                 const GradcheckOptions& options, Worst& worst) {
  const at::Tensor flat = entries(inputs[k]);
  const at::Tensor analytic = gradient.defined() ? entries(gradient.contiguous()) : at::zeros_like(flat);
  const int64_t count = std::min(flat.numel(), options.max_entries);
  std::vector<double> numeric(static_cast<size_t>(count));
  double largest = 0;
  for (int64_t j = 0; j < count; ++j) {
    auto& value = numeric[static_cast<size_t>(j)];
    value = numeric_derivative(function, inputs, flat, j * flat.numel() / count, options.step);
    largest = std::max(largest, std::abs(value));
  }
  for (int64_t j = 0; j < count; ++j) {
    const int64_t i = j * flat.numel() / count;
    const double got = analytic[i].item<double>(), expected = numeric[static_cast<size_t>(j)];
    const double error = std::abs(got - expected), excess = error / (options.tolerance * (1 + largest));
    if (std::isnan(excess) || excess > worst.excess) {
      worst = {std::isnan(excess) ? INFINITY : excess,
               c10::str("gradient of ", named.name, " at entry ", i, ": analytic ", got, ", numeric ", expected, ", error ", error, ", ", excess,
                        " times what is allowed", gradient.defined() ? "" : " (autograd returned none)")};
    }
  }
}

}  // namespace

::testing::AssertionResult gradcheck(const Function& function, const std::vector<NamedInput>& inputs, const GradcheckOptions& options) {
  Tensors values;
  for (const auto& input : inputs) {
    if (input.value.scalar_type() != at::kDouble && input.value.scalar_type() != at::kComplexDouble) {
      throw std::invalid_argument(c10::str("gradcheck needs ", input.name, " in fp64"));
    }
    values.push_back(input.value.detach().clone(at::MemoryFormat::Contiguous).requires_grad_(true));
  }
  const at::Tensor sum = objective(function, values);
  if (!sum.requires_grad()) return ::testing::AssertionFailure() << "the outputs depend on no input";
  const Tensors gradients = torch::autograd::grad({sum}, values, {}, std::nullopt, false, /*allow_unused=*/true);

  Worst worst;
  for (size_t k = 0; k < inputs.size(); ++k) {
    Tensors varied;
    for (const auto& value : values) varied.push_back(value.detach());
    check_input(function, varied, k, inputs[k], gradients[k], options, worst);
  }
  if (worst.excess <= 1) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << worst.text;
}

}  // namespace everlong::testing
