#pragma once
// Gradients against central differences, for any function of tensors.

#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

namespace everlong::testing {

/// A tensor under test and the name it has in the report.
struct NamedInput {
  std::string name;
  at::Tensor value;  ///< fp64 or complex fp64; need not require a gradient
};

struct GradcheckOptions {
  double step = 1e-6;
  double tolerance = 1e-6;   ///< |analytic - numeric| <= tolerance (1 + max|numeric|)
  int64_t max_entries = 64;  ///< of each input, spread evenly; all if there are fewer
};

/// Checks the gradient of sum_k <w_k, f(inputs)_k> with fixed random weights w_k, for every input, the carried state among them.
/// A complex input is varied in its real and in its imaginary part.
/// Cost     two evaluations of f an entry
/// Errors   std::invalid_argument if an input is not fp64; the failure names input, index, both values, and which inputs had no gradient
[[nodiscard]] ::testing::AssertionResult gradcheck(const std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>& function,
                                                   const std::vector<NamedInput>& inputs, const GradcheckOptions& options = {});

}  // namespace everlong::testing
