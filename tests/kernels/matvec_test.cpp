#include "everlong/kernels/cpu/matvec.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include "everlong/base/rng.h"
#include "everlong/kernels/cpu/bfloat16.h"

namespace everlong::kernels {
namespace {

class MatVecOnEveryInstructionSet : public ::testing::Test {
 protected:
  void TearDown() override { use(0); }
  static void use(int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  template <class Check>
  static void for_each(const Check& check) {
    const int64_t supported = hwy::SupportedTargets();
    for (int64_t bit = 0; bit < 62; ++bit) {
      const int64_t target = int64_t{1} << bit;
      if ((supported & target) == 0) continue;
      use(target);
      SCOPED_TRACE(hwy::TargetName(target));
      check();
    }
  }
};

template <class T>
std::vector<T> random_values(int64_t count, uint64_t stream, double size) {
  CounterRng rng(5, stream);
  std::vector<T> values(static_cast<size_t>(count));
  for (T& value : values) from_float(static_cast<float>((2 * rng.next_uniform() - 1) * size), &value);
  return values;
}

/// x w^T + bias, in fp64.
template <class T>
std::vector<double> exact(const MatVec<T>& op) {
  std::vector<double> y;
  for (int64_t r = 0; r < op.num_rows; ++r) {
    for (int64_t o = 0; o < op.out_features; ++o) {
      double sum = static_cast<double>(op.bias[o]);
      for (int64_t i = 0; i < op.in_features; ++i)
        sum += static_cast<double>(to_float(op.x[r * op.in_features + i])) * static_cast<double>(to_float(op.w[o * op.in_features + i]));
      y.push_back(sum);
    }
  }
  return y;
}

template <class T>
void expect_exact(int64_t num_rows, int64_t in_features, int64_t out_features, double tolerance) {
  const auto x = random_values<T>(num_rows * in_features, 0, 1), w = random_values<T>(out_features * in_features, 1, 1);
  const auto bias = random_values<float>(out_features, 2, 1);
  std::vector<T> y(static_cast<size_t>(num_rows * out_features));
  const MatVec<T> op{.num_rows = num_rows,
                     .in_features = in_features,
                     .out_features = out_features,
                     .x = x.data(),
                     .w = w.data(),
                     .bias = bias.data(),
                     .y = y.data()};
  matvec(op, serial_for);
  const auto expected = exact(op);
  for (size_t i = 0; i < y.size(); ++i)
    ASSERT_NEAR(static_cast<double>(to_float(y[i])), expected[i], tolerance * (1 + std::abs(expected[i])))
        << in_features << " to " << out_features << ", " << i;
}

TEST_F(MatVecOnEveryInstructionSet, IsTheProductWithinRounding) {
  for_each([] {
    for (const int64_t num_rows : {1, 2, 3, 4}) {
      for (const auto& [in_features, out_features] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {31, 3}, {64, 17}, {130, 66}, {769, 5}}) {
        expect_exact<float>(num_rows, in_features, out_features, 1e-5);
        expect_exact<uint16_t>(num_rows, in_features, out_features, 0.5 / 128);  // y is rounded to eight bits
      }
    }
  });
}

TEST_F(MatVecOnEveryInstructionSet, ReadsPackedMatricesToTheBit) {
  for_each([] {
    const int64_t block = packed_block();
    if (block == 0) return;  // the scalar one
    for (const int64_t in_features : {block, 3 * block, 70 * block}) {
      constexpr int64_t kOut = 37;
      auto w = random_values<uint16_t>(kOut * in_features, 1, 0.1);
      for (int64_t k = 0; k < 13; ++k)  // too many exponents for a table
        from_float(std::ldexp(1.0f, static_cast<int>(-20 - 4 * k)), &w[size_t(3 * k * in_features + k * (in_features - 1) / 12)]);
      std::vector<uint8_t> tables(size_t(PackedMatrix::num_groups(kOut) * PackedMatrix::kTableBytes)), bytes(size_t(kOut * in_features * 3 / 2 + 64));
      std::vector<uint64_t> left_out(kOut), any_left_out(size_t(PackedMatrix::num_groups(kOut)));
      uint8_t* rows = bytes.data() + (64 - reinterpret_cast<uintptr_t>(bytes.data()) % 64);
      const int64_t blocks_left_out =
          pack_matrix(w.data(), kOut, in_features, {tables.data(), rows, left_out.data(), any_left_out.data()}, serial_for);
      EXPECT_GE(blocks_left_out, 4);
      EXPECT_LT(blocks_left_out, kOut * (in_features / block) / 2);
      for (const int64_t num_rows : {1, 2, 3, 4}) {
        const auto x = random_values<uint16_t>(num_rows * in_features, 0, 1);
        std::vector<uint16_t> plain(size_t(num_rows * kOut)), packed(plain.size());
        MatVec<uint16_t> op{.num_rows = num_rows, .in_features = in_features, .out_features = kOut, .x = x.data(), .w = w.data(), .y = plain.data()};
        matvec(op, serial_for);
        op.packed = {tables.data(), rows, left_out.data(), any_left_out.data()};
        op.y = packed.data();
        matvec(op, serial_for);
        EXPECT_EQ(packed, plain) << in_features << ", " << num_rows;
      }
    }
  });
}

}  // namespace
}  // namespace everlong::kernels
