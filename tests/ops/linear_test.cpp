#include "everlong/ops/linear/linear.h"

#include <limits>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/tensor/torch.h"
#include "tests/support/torch/poison.h"
#include "tests/support/torch/tolerance.h"

namespace everlong::ops {
namespace {

using testing::all_close;
using testing::all_equal;
using testing::PoisonAllocations;
using testing::tolerance_for;

TEST(Linear, AFewRowsWithoutGradientsEqualTorchsProduct) {
  const PoisonAllocations poison;
  const at::NoGradGuard no_grad;
  at::manual_seed(1);
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kDouble})
    for (const int64_t in : {1, 3, 16, 31, 32, 33, 100, 769})
      for (const int64_t out : {1, 5, 300})
        for (const int64_t rows : {1, 2, 3, 4, 5}) {
          const at::Tensor x = at::randn({rows, in}).to(dtype), w = at::randn({out, in}).to(dtype), bias = at::randn({out}).to(dtype);
          const at::Tensor truth = at::linear(x.to(at::kDouble), w.to(at::kDouble), bias.to(at::kDouble));
          const auto sums = dtype == at::kDouble ? at::kDouble : at::kFloat;
          EXPECT_TRUE(all_close(ops::linear(x, w, bias), truth, tolerance_for(in, sums, dtype))) << in << " to " << out << ", " << rows << " rows";
          EXPECT_EQ(ops::linear(x, w).scalar_type(), dtype);
        }
}

TEST(Linear, FinishingIsSiluAndThenTheResidual) {
  const PoisonAllocations poison;
  const at::NoGradGuard no_grad;
  at::manual_seed(2);
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kDouble})
    for (const int64_t rows : {1, 3, 5}) {
      const at::Tensor x = at::randn({rows, 40}).to(dtype), w = at::randn({70, 40}).to(dtype), bias = at::randn({70}).to(dtype);
      const at::Tensor residual = at::randn({rows, 70}).to(dtype);
      const at::Tensor product = at::linear(x.to(at::kDouble), w.to(at::kDouble), bias.to(at::kDouble)), added = residual.to(at::kDouble);
      auto tolerance = tolerance_for(40, dtype == at::kDouble ? at::kDouble : at::kFloat, dtype);
      if (rows > 4) tolerance.relative *= 3;  // torch rounds after each of the three
      EXPECT_TRUE(all_close(ops::linear(x, w, bias, {.silu = true}), at::silu(product), tolerance));
      EXPECT_TRUE(all_close(ops::linear(x, w, bias, {.residual = residual}), product + added, tolerance));
      EXPECT_TRUE(all_close(ops::linear(x, w, bias, {.silu = true, .residual = residual}), at::silu(product) + added, tolerance));
    }
}

TEST(Linear, AResidualOfAnotherShapeIsRefused) {
  const at::NoGradGuard no_grad;
  EXPECT_THROW(static_cast<void>(ops::linear(at::ones({1, 6}), at::ones({7, 6}), {}, {.residual = at::ones({1, 6})})), InvalidArgument);
}

TEST(Linear, TheResultDoesNotDependOnTheNumberOfThreads) {
  const at::NoGradGuard no_grad;
  const int before = at::get_num_threads();
  const at::Tensor x = at::randn({2, 509}), w = at::randn({1003, 509});  // pieces end within what is summed together
  at::set_num_threads(1);
  const at::Tensor alone = ops::linear(x, w);
  at::set_num_threads(2);
  EXPECT_TRUE(all_equal(ops::linear(x, w), alone));
  at::set_num_threads(before);
}

TEST(PackedMatrix, CommonProcessorsUnpack) {
#if defined(__x86_64__) || defined(__aarch64__)
  EXPECT_GT(kernels::packed_block(), 0);  // where it is 0 the tests below say nothing
#endif
}

class PackedMatrixTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kernels::packed_block() == 0) GTEST_SKIP() << "this processor unpacks nothing";
    at::manual_seed(3);
  }

  static at::Tensor weights(int64_t out, int64_t in) { return (at::randn({out, in}) * 0.02).to(at::kBFloat16); }
  static bool is_used(const PackedMatrix& packed, const at::Tensor& weight) { return packed.view(weight).tables != nullptr; }

  const at::NoGradGuard no_grad_;
};

TEST_F(PackedMatrixTest, ProductsAreTheSameToTheBit) {
  const PoisonAllocations poison;
  for (const int64_t in : {128, 768, 8960})
    for (const int64_t out : {1, 70, 300}) {
      at::Tensor w = weights(out, in);
      w[0] = 0;
      w[out / 2][3] = 1e-30;  // blocks that hold too many exponents are read as they are: the first, one within, the last
      w[out / 3][in / 2] = -1e-31;
      w[out - 1][in - 1] = 1e-32;
      if (out > 8) w[5][in - 1] = std::numeric_limits<float>::infinity();
      if (out > 8) w[7] = at::linspace(-1e4, 1e4, in).to(at::kBFloat16);
      const PackedMatrix packed(w);
      if (out > 2) {
        ASSERT_TRUE(is_used(packed, w));
      }
      for (const int64_t rows : {1, 2, 3, 4}) {
        const at::Tensor x = at::randn({rows, in}).to(at::kBFloat16);
        EXPECT_TRUE(all_equal(ops::linear(x, {w, packed}), ops::linear(x, w))) << in << " to " << out << ", " << rows << " rows";
      }
    }
}

TEST_F(PackedMatrixTest, TakesThreeQuartersOfTheBytesAndTables) {
  EXPECT_EQ(PackedMatrix(weights(300, 768)).num_bytes(), 300 * (768 * 3 / 2 + 8) + 19 * (16 + 8));  // a table for sixteen rows
  for (const at::Tensor& w :
       {at::randn({300, 768}), weights(300, 100), weights(128, 300).t(), at::randint(1 << 15, {300, 768}, at::kShort).view(at::kBFloat16)})
    EXPECT_EQ(PackedMatrix(w).num_bytes(), 0) << w.toString();
}

TEST_F(PackedMatrixTest, AMatrixThatChangedIsReadAsItIs) {
  at::Tensor w = weights(64, 128);
  const PackedMatrix packed(w);
  ASSERT_TRUE(is_used(packed, w));
  EXPECT_FALSE(is_used(packed, w.clone()));
  w.mul_(2);
  EXPECT_FALSE(is_used(packed, w));
  const at::Tensor x = at::randn({1, 128}).to(at::kBFloat16);
  EXPECT_TRUE(all_equal(ops::linear(x, {w, packed}), ops::linear(x, w)));

  at::Tensor parameter = weights(64, 128);
  const PackedMatrix of_parameter(parameter);
  parameter.set_data(weights(64, 128));  // the old values are gone, and their memory may be these
  EXPECT_FALSE(is_used(of_parameter, parameter));
}

TEST(Linear, BatchesOfAnyShapeAndGradientsTakeTheSamePath) {
  const at::Tensor w = at::randn({7, 6}).requires_grad_(true);
  ops::linear(at::ones({2, 1, 6}), w).sum().backward();
  EXPECT_TRUE(all_equal(w.grad(), at::full({7, 6}, 2.0f)));
  const at::NoGradGuard no_grad;
  EXPECT_EQ(ops::linear(at::ones({2, 1, 6}), w).sizes(), (at::IntArrayRef{2, 1, 7}));
  EXPECT_ANY_THROW(static_cast<void>(ops::linear(at::ones({1, 5}), w)));
}

}  // namespace
}  // namespace everlong::ops
