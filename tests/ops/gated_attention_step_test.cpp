#include "everlong/ops/gated_attention_step/gated_attention_step.h"

#include <cmath>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/ops/chunk_attention/chunk_attention.h"
#include "everlong/ops/ema/ema.h"
#include "everlong/ops/gates/gates.h"
#include "everlong/ops/linear/linear.h"
#include "everlong/tensor/torch.h"
#include "tests/support/torch/poison.h"
#include "tests/support/torch/tolerance.h"

namespace everlong::ops {
namespace {

using testing::all_close;
using testing::all_equal;
using testing::PoisonAllocations;
using testing::tolerance_for;

struct Sizes {
  int64_t B = 1, D = 24, U = 40, Z = 12, N = 4, A = 9;
};

/// Everything that a step reads, random, with the matrices and the cache in `dtype`.
struct Case {
  at::Tensor x, normed;
  GatedAttentionParameters parameters;
  GatedAttentionMemory memory;
};

Case make_case(const Sizes& s, at::ScalarType dtype, AttentionFunction function, int64_t spare = 0) {
  at::manual_seed(3);
  const auto matrix = [&](int64_t out, int64_t in) {
    return GatedAttentionParameters::Product{(at::randn({out, in}) / std::sqrt(static_cast<double>(in))).to(dtype), at::randn({out}) * 0.1};
  };
  const int64_t span = s.A + 2, room = s.A + spare;
  return {.x = at::randn({s.B, 1, s.D}).to(dtype),
          .normed = at::randn({s.B, 1, s.D}).to(dtype),
          .parameters = {.value = matrix(s.U, s.D),
                         .mixed = matrix(2 * s.D + s.Z + s.U, s.D),
                         .output = matrix(s.D, s.U),
                         .ema_q = at::rand({s.D, s.N}) * 0.9,
                         .ema_c = at::randn({s.D, s.N}),
                         .ema_residual = at::randn({s.D}),
                         .qk_scale = at::randn({2, s.Z}),
                         .qk_offset = at::randn({2, s.Z}),
                         .relative_bias = at::randn({2 * span - 1}),
                         .function = function},
          .memory = {.ema = at::randn({s.B, s.D, s.N}),
                     .keys = at::randn({s.B, room, s.Z}).to(dtype).narrow(1, 0, s.A),
                     .values = at::randn({s.B, room, s.U}).to(dtype).narrow(1, 0, s.A)}};
}

/// The same by the ops of many tokens, in fp64. Leaves `memory` as the step should leave it.
at::Tensor by_ops(const Case& c, GatedAttentionMemory& memory) {
  const auto wide = [](const at::Tensor& tensor) { return tensor.to(at::kDouble); };
  const auto& p = c.parameters;
  const int64_t D = c.x.size(2), U = c.memory.values.size(2), Z = c.memory.keys.size(2), A = c.memory.keys.size(1);
  const auto times = [&](const at::Tensor& x, const GatedAttentionParameters::Product& product) {
    return at::linear(x, wide(product.matrix.weight), wide(product.bias));
  };
  const at::Tensor x = wide(c.x), normed = wide(c.normed);
  const auto past = [&](const at::Tensor& cache) { return wide(cache).narrow(1, 0, A - 1); };
  memory.values = at::cat({past(c.memory.values), at::silu(times(normed, p.value))}, 1);
  const auto filtered = ema(normed, wide(p.ema_q), wide(p.ema_c), {.state = wide(c.memory.ema)});
  memory.ema = filtered.state;
  const auto mixed = times(silu_residual(filtered.output, normed, wide(p.ema_residual)), p.mixed).split_with_sizes({D, Z, U, D}, -1);
  const at::Tensor shared = at::silu(mixed[1]), scale = wide(p.qk_scale), offset = wide(p.qk_offset);
  memory.keys = at::cat({past(c.memory.keys), shared * scale[1] + offset[1]}, 1);
  const std::vector<AttentionPiece> pieces{{.query_len = 1, .key_len = A}};
  const at::Tensor attended =
      chunk_attention(shared * scale[0] + offset[0], memory.keys, memory.values, wide(p.relative_bias), pieces, {.function = p.function});
  return gated_update(x, mixed[0], mixed[3], times(silu_mul(attended, mixed[2]), p.output));
}

class GatedAttentionStep : public ::testing::Test {
  const at::NoGradGuard no_grad_;
};

TEST_F(GatedAttentionStep, EqualsTheOpsOfManyTokens) {
  const PoisonAllocations poison;
  for (const auto dtype : {at::kFloat, at::kBFloat16})
    for (const auto function : {AttentionFunction::softmax, AttentionFunction::relu2, AttentionFunction::laplace})
      for (const Sizes& s : {Sizes{}, Sizes{.A = 1}, Sizes{.B = 4, .A = 70}, Sizes{.B = 3, .D = 5, .U = 7, .Z = 3, .N = 3, .A = 6},
                             Sizes{.D = 130, .U = 300, .Z = 64, .N = 33, .A = 300}}) {
        const Case c = make_case(s, dtype, function, 3);
        GatedAttentionMemory expected;
        const at::Tensor truth = by_ops(c, expected);
        ASSERT_TRUE(has_gated_attention_step(c.x, c.parameters, c.memory));
        const at::Tensor y = gated_attention_step(c.x, c.normed, c.parameters, c.memory);
        // What goes from part to part is rounded; a few such roundings meet in the result.
        testing::Tolerance tolerance = tolerance_for(s.D + s.U + s.A, at::kFloat, dtype);
        if (dtype == at::kBFloat16) tolerance.relative *= 4;
        EXPECT_TRUE(all_close(y, truth, tolerance)) << dtype << " D " << s.D << " A " << s.A;
        EXPECT_TRUE(all_close(c.memory.ema, expected.ema, tolerance_for(1, at::kFloat)));
        EXPECT_TRUE(all_close(c.memory.keys, expected.keys, tolerance));
        EXPECT_TRUE(all_close(c.memory.values, expected.values, tolerance));
      }
}

TEST_F(GatedAttentionStep, WritesOnlyTheLastKeyAndValue) {
  const Case c = make_case({.B = 2}, at::kFloat, AttentionFunction::softmax, 2);
  const at::Tensor keys = c.memory.keys.as_strided({2, 11, 12}, c.memory.keys.strides()),
                   values = c.memory.values.as_strided({2, 11, 40}, c.memory.values.strides());
  const at::Tensor keys_before = keys.clone(), values_before = values.clone();
  static_cast<void>(gated_attention_step(c.x, c.normed, c.parameters, c.memory));
  for (const int64_t place : {0, 7, 9, 10}) {
    EXPECT_TRUE(all_equal(keys.select(1, place), keys_before.select(1, place)));
    EXPECT_TRUE(all_equal(values.select(1, place), values_before.select(1, place)));
  }
  EXPECT_FALSE(at::equal(keys.select(1, 8), keys_before.select(1, 8)));
}

TEST_F(GatedAttentionStep, TheResultDoesNotDependOnTheNumberOfThreads) {
  const int before = at::get_num_threads();
  const Sizes large{.B = 2, .D = 512, .U = 1000, .Z = 100, .N = 16, .A = 3000};
  std::vector<at::Tensor> results;
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    const Case c = make_case(large, at::kFloat, AttentionFunction::softmax);
    results.push_back(gated_attention_step(c.x, c.normed, c.parameters, c.memory));
  }
  at::set_num_threads(before);
  EXPECT_TRUE(all_equal(results[0], results[1]));
}

TEST_F(GatedAttentionStep, ServesDecodingOnly) {
  const Case c = make_case({}, at::kFloat, AttentionFunction::softmax);
  EXPECT_TRUE(has_gated_attention_step(c.x, c.parameters, c.memory));
  EXPECT_FALSE(has_gated_attention_step(c.x.to(at::kBFloat16), c.parameters, c.memory)) << "matrices that would have to be cast";
  EXPECT_FALSE(has_gated_attention_step(at::randn({1, 2, 24}), c.parameters, c.memory)) << "two tokens";
  EXPECT_FALSE(has_gated_attention_step(at::randn({5, 1, 24}), c.parameters, c.memory)) << "more rows than the kernel of linear takes";
  const at::AutoGradMode grad(true);
  EXPECT_FALSE(has_gated_attention_step(c.x, c.parameters, c.memory)) << "gradients";
}

TEST_F(GatedAttentionStep, ShapesThatDisagreeAreRefusedByName) {
  const auto refusal = [](const auto& spoil) {
    Case c = make_case({}, at::kFloat, AttentionFunction::softmax);
    spoil(c);
    try {
      static_cast<void>(gated_attention_step(c.x, c.normed, c.parameters, c.memory));
    } catch (const InvalidArgument& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_NE(refusal([](Case& c) { c.normed = at::zeros({1, 1, 23}); }).find("normed [B, 1, D]"), std::string::npos);
  EXPECT_NE(refusal([](Case& c) { c.parameters.mixed.matrix.weight = at::zeros({7, 24}); }).find("mixed.weight"), std::string::npos);
  EXPECT_NE(refusal([](Case& c) { c.parameters.output.bias = at::zeros({7}); }).find("output.bias"), std::string::npos);
  EXPECT_NE(refusal([](Case& c) { c.parameters.ema_c = at::zeros({24, 5}); }).find("ema_c"), std::string::npos);
  EXPECT_NE(refusal([](Case& c) { c.parameters.qk_scale = at::zeros({1, 12}); }).find("qk_scale"), std::string::npos);
  EXPECT_NE(refusal([](Case& c) { c.parameters.relative_bias = at::zeros({15}); }).find("relative_bias"), std::string::npos);
  EXPECT_NE(refusal([](Case& c) { c.memory.values = at::zeros({1, 8, 40}); }).find("values [B, A, U]"), std::string::npos);
}

}  // namespace
}  // namespace everlong::ops
