// Reading token by token: the op of one step against the ops of many tokens, which run where gradients are recorded.

#include <algorithm>

#include <gtest/gtest.h>

#include "everlong/kernels/cpu/packed_matrix.h"
#include "everlong/models/mega/config.h"
#include "everlong/nn/linear.h"
#include "everlong/tensor/torch.h"
#include "tests/support/torch/models.h"

namespace everlong::testing {
namespace {

struct Variant {
  std::string name;
  Overrides overrides;
  bool steps = true;  ///< served by the op of one step
};

std::vector<Variant> variants() {
  const Overrides unchunked{{"use_chunking", false}, {"chunk_size", int64_t{-1}}, {"max_positions", int64_t{256}}};
  const auto with = [](Overrides all, const std::pair<std::string, ConfigValue>& one) {
    all.push_back(one);
    return all;
  };
  return {{"chunked", {}},
          {"unchunked", unchunked},
          {"simple_bias", with(unchunked, {"relative_positional_bias", std::string("simple")})},
          {"laplace", {{"attention_activation", std::string("laplace")}}},
          {"relu2", with(unchunked, {"attention_activation", std::string("relu2")})},
          {"layernorm_after", {{"normalization_type", std::string("layernorm")}, {"normalize_before_mega", false}, {"normalize_before_ffn", false}}},
          {"gelu", {{"activation", std::string("gelu")}}, false}};
}

std::unique_ptr<models::ArchitectureConfig> make_config(const Variant& variant) { return tiny_config("mega", variant.overrides); }

double relative(const at::Tensor& actual, const at::Tensor& expected) {
  if (expected.numel() == 0) return 0;
  const at::Tensor truth = expected.to(at::kDouble);
  return (actual.to(at::kDouble) - truth).abs().max().item<double>() / std::max(1e-3, truth.abs().max().item<double>());
}

class MegaDecode : public ::testing::TestWithParam<Variant> {
 protected:
  /// Reads `tokens` one by one.
  struct Run {
    at::Tensor logits;
    nn::State state;
    int64_t in_place = 0;  ///< steps that wrote the moving averages where they were
  };
  static Run read(models::CausalLm& model, const at::Tensor& tokens, nn::State state, bool gradients) {
    const at::AutoGradMode mode(gradients);
    Run run{.state = std::move(state)};
    std::vector<at::Tensor> logits;
    for (int64_t t = 0; t < tokens.size(1); ++t) {
      const void* before = run.state.tensors()[0].const_data_ptr();
      auto next = model.forward({.tokens = tokens.narrow(1, t, 1)}, std::move(run.state));
      run.state = std::move(next.state);
      run.state.detach_();
      run.in_place += run.state.tensors()[0].const_data_ptr() == before ? 1 : 0;
      logits.push_back(next.logits.detach());
    }
    run.logits = at::cat(logits, 1);
    return run;
  }

  void compare(at::ScalarType dtype, int64_t batch_size, double tolerance) {
    const auto config = make_config(GetParam());
    const auto model = tiny_model(*config, dtype);
    nn::store_matrices_as(*model, dtype);
    const at::Tensor tokens = random_tokens(*model, batch_size, 75), prompt = tokens.narrow(1, 0, 5), rest = tokens.narrow(1, 5, 70);
    const auto start = [&] {
      const at::NoGradGuard no_grad;
      return model->forward({.tokens = prompt}, model->model().initial_state(batch_size)).state;
    };
    const Run fast = read(*model, rest, start(), false), plain = read(*model, rest, start(), true);
    EXPECT_EQ(fast.in_place, GetParam().steps && batch_size <= 4 ? 70 : 0);
    EXPECT_EQ(plain.in_place, 0);
    EXPECT_LT(relative(fast.logits, plain.logits), tolerance);
    EXPECT_EQ(fast.state.positions(), plain.state.positions());
    for (size_t i = 0; i < plain.state.tensors().size(); ++i) {
      ASSERT_EQ(fast.state.tensors()[i].sizes(), plain.state.tensors()[i].sizes());
      EXPECT_LT(relative(fast.state.tensors()[i], plain.state.tensors()[i]), tolerance) << model->model().state_layout().slots()[i].name;
    }
  }
};

TEST_P(MegaDecode, TheStepGivesTheLogitsAndTheStateOfTheOpsOfManyTokens) {
  for (const int64_t batch_size : {1, 2, 4, 5}) compare(at::kFloat, batch_size, 1e-5);
}

TEST_P(MegaDecode, TheStepGivesThemInBf16) {
  for (const int64_t batch_size : {1, 3}) compare(at::kBFloat16, batch_size, 0.05);
}

TEST_P(MegaDecode, AForkLeavesItsOriginAlone) {
  const at::NoGradGuard no_grad;
  const auto config = make_config(GetParam());
  const auto model = tiny_model(*config, at::kFloat);
  const at::Tensor tokens = random_tokens(*model, 1, 30);
  const nn::State origin = model->forward({.tokens = tokens.narrow(1, 0, 11)}, model->model().initial_state(1)).state;
  const nn::State before = origin.clone();
  const Run one = read(*model, tokens.narrow(1, 11, 9), origin.clone(), false), other = read(*model, tokens.narrow(1, 11, 9), origin.clone(), false);
  EXPECT_EQ(state_difference(origin, before), 0);
  EXPECT_TRUE(at::equal(one.logits, other.logits));
  EXPECT_EQ(state_difference(one.state, other.state), 0);
}

TEST_P(MegaDecode, PaddedAndScatteredRowsTakeTheOtherWay) {
  const at::NoGradGuard no_grad;
  const auto config = make_config(GetParam());
  const auto model = tiny_model(*config, at::kFloat);
  const at::Tensor tokens = random_tokens(*model, 2, 12);
  at::Tensor valid = at::ones({2, 10}, at::kBool);
  valid[1].narrow(0, 6, 4).fill_(false);  // row 1 is four tokens behind
  auto uneven = model->forward({.tokens = tokens.narrow(1, 0, 10), .valid = valid}, model->model().initial_state(2));
  const Run together = read(*model, tokens.narrow(1, 10, 2), std::move(uneven.state), false);
  for (const int64_t row : {0, 1}) {
    auto alone = model->forward({.tokens = tokens.narrow(0, row, 1).narrow(1, 0, row == 0 ? 10 : 6)}, model->model().initial_state(1));
    const Run run = read(*model, tokens.narrow(0, row, 1).narrow(1, 10, 2), std::move(alone.state), false);
    EXPECT_LT(relative(together.logits.narrow(0, row, 1), run.logits), 1e-5);
  }
}

TEST(MegaDecodePacked, PackedMatricesGiveTheSameLogitsAndStateToTheBit) {
  if (kernels::packed_block() == 0) GTEST_SKIP() << "this processor unpacks nothing";
  const at::NoGradGuard no_grad;
  const Overrides wide{{"hidden_size", int64_t{256}}, {"intermediate_size", int64_t{384}}, {"nffn_hidden_size", int64_t{128}}};
  const auto model = tiny_model(*tiny_config("mega", wide), at::kBFloat16);
  nn::store_matrices_as(*model, at::kBFloat16);
  const at::Tensor tokens = random_tokens(*model, 2, 30);
  const auto read = [&] { return read_in_pieces(*model, tokens, std::vector<int64_t>(30, 1)); };
  const auto plain = read();
  int64_t matrices = 0;
  for (const at::Tensor& parameter : model->parameters()) matrices += parameter.dim() == 2 && parameter.scalar_type() == at::kBFloat16 ? parameter.numel() : 0;
  const int64_t bytes = nn::pack_matrices(*model);
  EXPECT_GE(bytes, matrices * 3 / 2);  // every matrix, the output's included
  EXPECT_LT(bytes, matrices * 2);
  const auto packed = read();
  EXPECT_TRUE(at::equal(packed.logits, plain.logits));
  EXPECT_EQ(state_difference(packed.state, plain.state), 0);
}

INSTANTIATE_TEST_SUITE_P(Variants, MegaDecode, ::testing::ValuesIn(variants()), [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace everlong::testing
