#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/ops/timestep_norm_cases.h"
#include "tests/support/torch/gradcheck.h"

namespace everlong::ops {
namespace {

using testing::all_close;
using testing::tolerance_for;

at::Tensor norm(const NormCase& in, const std::optional<at::Tensor>& mask = {}) {
  return sequence_norm(in.x, in.weight, in.bias, in.num_groups, mask);
}

TEST(SequenceNorm, IsGroupNormOverTimeAndFeatures) {
  for (const auto dtype : {at::kDouble, at::kFloat, at::kBFloat16}) {
    const auto in = random_norm_case({2, 50, 24}, 3, dtype);
    const NormCase wide = in_fp64(in);
    const at::Tensor y = at::group_norm(wide.x.transpose(1, 2), 3, wide.weight + 1, wide.bias, 1e-5).transpose(1, 2);
    const auto actual = norm(in);
    EXPECT_TRUE(all_close(actual, y, tolerance_for(400, dtype == at::kDouble ? at::kDouble : at::kFloat, dtype)));
    EXPECT_EQ(actual.scalar_type(), dtype);
  }
}

TEST(SequenceNorm, EndsWhereTimestepNormEnds) {
  const auto in = random_norm_case({2, 50, 24}, 3, at::kDouble);
  EXPECT_TRUE(all_close(norm(in).select(1, 49), in.run().output.select(1, 49), tolerance_for(400, at::kDouble)));
}

TEST(SequenceNorm, DoesNotReadPadding) {
  auto in = random_norm_case({3, 50, 24}, 3, at::kDouble);
  const auto mask = holed_mask(3, 50), kept = mask[0].nonzero().squeeze(-1);
  const at::Tensor alone = sequence_norm(in.x.narrow(0, 0, 1).index_select(1, kept), in.weight, in.bias, 3);
  in.x.masked_fill_(mask.logical_not().unsqueeze(-1), NAN);
  const auto x = in.x.clone().requires_grad_(true);
  const auto y = sequence_norm(x, in.weight, in.bias, 3, mask);
  EXPECT_TRUE(all_close(y.narrow(0, 0, 1).index_select(1, kept), alone, tolerance_for(400, at::kDouble)));
  EXPECT_TRUE(y.masked_select(mask.logical_not().unsqueeze(-1)).eq(0).all().item<bool>());
  y.square().sum().backward();
  EXPECT_TRUE(x.grad().isfinite().all().item<bool>());
  EXPECT_TRUE(x.grad()[2].eq(0).all().item<bool>());
}

TEST(SequenceNorm, HasTheGradientThatCentralDifferencesSay) {
  const auto in = random_norm_case({2, 7, 6}, 2, at::kDouble);
  const auto mask = holed_mask(2, 7);
  EXPECT_TRUE(testing::gradcheck([&](const auto& inputs) { return std::vector{sequence_norm(inputs[0], inputs[1], inputs[2], 2, mask)}; },
                                 {{"x", in.x}, {"weight", in.weight}, {"bias", in.bias}}));
}

}  // namespace
}  // namespace everlong::ops
