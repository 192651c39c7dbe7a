#include "everlong/ops/chunk_attention/product.h"

#include <set>

#include <gtest/gtest.h>

#include "everlong/tensor/torch.h"

namespace everlong::ops {
namespace {

TEST(Product, LengthsAreRoundedToFewThatAreLittleLonger) {
  std::set<int64_t> lengths;
  for (int64_t size = 1; size <= 1024; ++size) {
    const int64_t rounded = round_length(size);
    EXPECT_GE(rounded, size);
    EXPECT_LT(rounded - size, std::max<int64_t>(64, size / 2 + 1)) << size;
    lengths.insert(rounded);
  }
  EXPECT_LE(lengths.size(), 8u);
  for (const int64_t whole : {64, 128, 256, 512, 1024, 2048}) EXPECT_EQ(round_length(whole), whole);
}

TEST(Product, ARaggedOneEqualsThatOfDoublesAndWritesNothingElse) {
  at::manual_seed(3);
  for (const auto& [rows, inner, columns] : {std::tuple{37, 64, 100}, {150, 150, 512}, {1, 64, 77}, {64, 64, 128}, {200, 3, 5}}) {
    for (const int64_t count : {1, 2}) {
      const at::Tensor a = at::randn({count, rows, inner}).to(at::kBFloat16), b = at::randn({count, columns, inner}).to(at::kBFloat16);
      const at::Tensor field = at::full({count, rows + 1, columns + 3}, 7.0f, a.options());
      product(field.narrow(1, 0, rows).narrow(2, 0, columns), a, b.transpose(1, 2));
      const at::Tensor expected = at::bmm(a.to(at::kDouble), b.to(at::kDouble).transpose(1, 2));
      const at::Tensor written = field.narrow(1, 0, rows).narrow(2, 0, columns).to(at::kDouble);
      EXPECT_LE(((written - expected).abs() / (expected.abs() + 0.05)).max().item<double>(), 1.0 / 256) << rows << " " << inner << " " << columns;
      EXPECT_TRUE(field.narrow(1, rows, 1).eq(7).all().item<bool>());
      EXPECT_TRUE(field.narrow(2, columns, 3).eq(7).all().item<bool>());
    }
  }
}

}  // namespace
}  // namespace everlong::ops
