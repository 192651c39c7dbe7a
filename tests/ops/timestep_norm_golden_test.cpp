// The authors' own numbers, in fp64: tests/data/timestep_norm.safetensors.

#include <string>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "everlong/checkpoint/tensor_file.h"
#include "tests/ops/timestep_norm_cases.h"
#include "tests/support/files.h"

namespace everlong::ops {
namespace {

using testing::all_close;
using testing::all_equal;

class TimestepNormGolden : public ::testing::TestWithParam<const char*> {
 protected:
  [[nodiscard]] at::Tensor get(const std::string& name) const {
    const auto found = tensors_.find(std::string(GetParam()) + "." + name);
    return found == tensors_.end() ? at::Tensor() : found->second;
  }

  /// Everything but the initial mean and variance, which are the case's state.
  [[nodiscard]] TimestepNormOptions options() const {
    TimestepNormOptions options = {.eps = get("eps").item<double>()};
    if (get("valid").defined()) options.mask = get("valid");
    if (const at::Tensor ids = get("segment_ids"); ids.defined()) {
      options.mask = ids > 0;
      const at::Tensor before = at::cat({at::zeros_like(ids.narrow(1, 0, 1)), ids.narrow(1, 0, ids.size(1) - 1)}, 1);
      options.restart = ids != before;
    }
    return options;
  }

  /// Without a state in the file, one that has seen nothing.
  [[nodiscard]] NormCase norm_case() const {
    const at::Tensor mean = get("mean");
    NormCase in = {get("x"), get("weight"), get("bias"), {get("prev_count"), get("prev_mean"), get("prev_var")}, mean.size(1)};
    if (!in.state.count.defined()) in.state = {at::zeros({mean.size(0)}, at::kLong), at::zeros_like(mean), at::ones_like(mean)};
    return in;
  }

 private:
  const checkpoint::TensorMap tensors_ = checkpoint::load_tensors(testing::source_path("tests/data/timestep_norm.safetensors")).tensors;
};

TEST_P(TimestepNormGolden, OutputStateAndGradientsAreTheAuthors) {
  const NormCase in = norm_case();
  const double relative = 1e-12 + 1e-15 * in.x.abs().max().item<double>();  // an offset of the input costs digits in any order of sums
  const testing::Tolerance tolerance = {.relative = relative, .absolute = 1e-12};
  auto with_state = options();
  with_state.state = in.state;
  const auto result = in.run(with_state);
  EXPECT_TRUE(all_close(result.output, get("y"), tolerance));
  EXPECT_TRUE(all_equal(result.state.count, get("count")));
  EXPECT_TRUE(all_close(result.state.mean, get("mean"), tolerance));
  EXPECT_TRUE(all_close(result.state.variance, get("var"), tolerance));
  const auto gradients = norm_gradients(in, options(), get("dy"), {{}, get("dmean"), get("dvar")});
  EXPECT_TRUE(all_close(gradients.x, get("dx"), tolerance));
  EXPECT_TRUE(all_close(gradients.weight, get("dweight"), tolerance));
  EXPECT_TRUE(all_close(gradients.bias, get("dbias"), tolerance));
  if (get("dprev_mean").defined()) {
    EXPECT_TRUE(all_close(gradients.mean, get("dprev_mean"), tolerance));
    EXPECT_TRUE(all_close(gradients.variance, get("dprev_var"), tolerance));
  }
}

TEST_P(TimestepNormGolden, TheKernelAgreesWithinFp32) {
  NormCase in = norm_case();
  in.x = in.x.to(at::kFloat);
  const auto expected = exact(in, options());
  const auto actual = in.run(options());
  EXPECT_TRUE(all_close(actual.output, expected.output, testing::tolerance_for(in.terms(), at::kFloat)));
  const auto dy = get("dy").to(at::kFloat);
  const TimestepNormState dstate = {{}, get("dmean"), get("dvar")};
  const auto exactly = exact_gradients(in, options(), dy, dstate);
  const auto gradients = norm_gradients(in, options(), dy, dstate);
  EXPECT_TRUE(all_close(gradients.x, exactly.x, testing::tolerance_for(in.terms() + in.x.size(1), at::kFloat)));
}

INSTANTIATE_TEST_SUITE_P(Cases, TimestepNormGolden,
                         ::testing::Values("carried", "constant", "fresh", "offset", "one_group", "packed", "padded_holes", "padded_tail"),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace everlong::ops
