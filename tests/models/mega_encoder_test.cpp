// What a bidirectional MEGA promises beyond what every architecture of the registry does.

#include <gtest/gtest.h>

#include "everlong/models/heads/task_head.h"
#include "everlong/models/mega/config.h"
#include "everlong/tensor/torch.h"
#include "tests/support/torch/models.h"

namespace everlong::testing {
namespace {

using Overrides = std::vector<std::pair<std::string, ConfigValue>>;
using models::mega::Config;

constexpr double kExact = 1e-11;  // fp64 through sums of a few hundred terms of order one

struct Variant {
  std::string name;
  Overrides overrides;
};

std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (const std::string function : {"softmax", "relu2", "laplace"})
    for (const std::string bias : {"rotary", "simple"}) {
      all.push_back({function + "_" + bias + "_chunked", {{"attention_activation", function}, {"relative_positional_bias", bias}}});
      all.push_back({function + "_" + bias,
                     {{"attention_activation", function}, {"relative_positional_bias", bias}, {"use_chunking", false}, {"chunk_size", int64_t{-1}},
                      {"max_positions", int64_t{64}}}});
    }
  all.push_back({"postnorm_truncated", {{"normalize_before_mega", false}, {"normalize_before_ffn", false}, {"truncation", int64_t{3}}}});
  all.push_back({"token_types", {{"add_token_type_embeddings", true}, {"normalization_type", std::string("layernorm")}}});
  return all;
}

std::shared_ptr<models::TaskHead> make_encoder(const Overrides& overrides, at::ScalarType dtype = at::kDouble, models::Task task = models::Task::masked_lm) {
  auto config = models::find_architecture("mega").tiny_config();
  config->fields().set("is_decoder", false);
  config->fields().set("bidirectional", true);
  for (const auto& item : overrides) config->fields().set(item.first, item.second);
  at::manual_seed(1);
  auto head = models::make_head(*config, task);
  head->to(dtype);
  head->model().set_compute_dtype(dtype);
  const at::NoGradGuard no_grad;
  for (auto& item : head->named_parameters()) item.value().add_(at::randn_like(item.value()), 0.3);
  head->eval();
  return head;
}

double difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

class MegaEncoder : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    head_ = make_encoder(GetParam().overrides);
    at::manual_seed(2);
  }
  at::Tensor tokens(int64_t rows, int64_t len) const { return at::randint(3, head_->config().vocabulary(), {rows, len}, at::kLong); }
  at::Tensor run(const models::ModelInput& input) { return head_->outputs(input).front().tensor; }
  [[nodiscard]] const Config& config() const { return dynamic_cast<const Config&>(head_->config()); }
  [[nodiscard]] bool divides() const { return config().attention_activation != ops::AttentionFunction::softmax; }

  const at::NoGradGuard no_grad_;
  std::shared_ptr<models::TaskHead> head_;
};

TEST_P(MegaEncoder, RowsOfABatchDoNotMeet) {
  const auto all = tokens(3, 21);
  const auto together = run({.tokens = all});
  for (int64_t row = 0; row < 3; ++row) EXPECT_LT(difference(run({.tokens = all.narrow(0, row, 1)})[0], together[row]), kExact);
}

TEST_P(MegaEncoder, EveryTokenSeesBothSides) {
  const auto all = tokens(1, 21);
  const auto before = run({.tokens = all});
  auto changed = all.clone();
  changed[0][10] = 3 + (changed[0][10] - 2) % (head_->config().vocabulary() - 3);
  const auto after = run({.tokens = changed});
  for (const int64_t t : {8, 9, 10, 11, 12}) EXPECT_GT(difference(after.narrow(1, t, 1), before.narrow(1, t, 1)), 1e-7) << t;
}

TEST_P(MegaEncoder, PaddingOnTheRightChangesNothing) {
  const auto all = tokens(2, 21);
  const auto valid = at::ones({2, 21}, at::kBool);
  valid[1].narrow(0, 13, 8).fill_(false);
  const auto padded = run({.tokens = all, .valid = valid});
  EXPECT_LT(difference(padded[0], run({.tokens = all})[0]), kExact);
  EXPECT_LT(difference(padded[1].narrow(0, 0, 13), run({.tokens = all.narrow(0, 1, 1).narrow(1, 0, 13)})[0]), kExact);
}

TEST_P(MegaEncoder, WhatStandsAtPaddingIsNotSeen) {
  const auto all = tokens(3, 21);
  const auto valid = at::ones({3, 21}, at::kBool);
  valid[0].narrow(0, 0, 6).fill_(false);   // left
  valid[1].narrow(0, 15, 6).fill_(false);  // right
  valid[2].narrow(0, 7, 4).fill_(false);   // inside
  auto other = at::where(valid, all, (all - 2).remainder(head_->config().vocabulary() - 3) + 3);
  const auto first = run({.tokens = all, .valid = valid}), second = run({.tokens = other, .valid = valid});
  ASSERT_FALSE(at::equal(all, other));
  EXPECT_LT(difference(first.masked_fill(valid.logical_not().unsqueeze(-1), 0), second.masked_fill(valid.logical_not().unsqueeze(-1), 0)), kExact);
  EXPECT_TRUE(first.isfinite().all().item<bool>());
}

TEST_P(MegaEncoder, PaddingOnTheLeftByWholeChunksChangesNothing) {
  const int64_t left = config().use_chunking ? config().chunk_size : 5;
  const auto all = tokens(1, 17);
  const auto padded = at::cat({tokens(1, left), all}, 1);
  const auto valid = at::ones({1, 17 + left}, at::kBool);
  valid.narrow(1, 0, left).fill_(false);
  EXPECT_LT(difference(run({.tokens = padded, .valid = valid}).narrow(1, left, 17), run({.tokens = all})), kExact);
}

TEST_P(MegaEncoder, PackedDocumentsEqualSeparateDocuments) {
  const auto all = tokens(2, 30);
  const auto documents = at::zeros({2, 30}, at::kLong);
  documents[0].narrow(0, 11, 19).fill_(1);
  documents[0].narrow(0, 25, 5).fill_(2);
  documents[1].narrow(0, 16, 14).fill_(1);
  const auto packed = run({.tokens = all, .document_ids = documents});
  for (const auto& [row, begin, len] : {std::tuple<int64_t, int64_t, int64_t>(0, 0, 11), {0, 11, 14}, {0, 25, 5}, {1, 0, 16}, {1, 16, 14}})
    EXPECT_LT(difference(packed[row].narrow(0, begin, len), run({.tokens = all.narrow(0, row, 1).narrow(1, begin, len)})[0]), kExact) << row << " " << begin;
}

TEST_P(MegaEncoder, ARaggedLengthEqualsPaddingToTheMultiple) {
  const int64_t chunk = 8;
  for (const int64_t len : {1, 5, 8, 9, 16, 19, 31}) {
    const int64_t total = (len + chunk - 1) / chunk * chunk;
    const auto all = tokens(2, len);
    const auto padded = at::cat({all, at::ones({2, total - len}, at::kLong)}, 1);
    const auto valid = at::zeros({2, total}, at::kBool);
    valid.narrow(1, 0, len).fill_(true);
    EXPECT_LT(difference(run({.tokens = padded, .valid = valid}).narrow(1, 0, len), run({.tokens = all})), kExact) << len;
  }
}

TEST_P(MegaEncoder, MasksOfAnyTypeAreEqual) {
  const auto all = tokens(2, 14);
  const auto valid = at::ones({2, 14}, at::kBool);
  valid[0].narrow(0, 4, 3).fill_(false);
  const auto expected = run({.tokens = all, .valid = valid});
  for (const auto type : {at::kInt, at::kLong, at::kByte, at::kFloat, at::kDouble, at::kHalf})
    EXPECT_TRUE(at::equal(run({.tokens = all, .valid = valid.to(type)}), expected)) << c10::toString(type);
  EXPECT_TRUE(at::equal(run({.tokens = all, .valid = valid.to(at::kFloat) * -0.5}), expected));  // whatever is not zero
}

TEST_P(MegaEncoder, EmbeddingsStandForTokens) {
  const auto all = tokens(2, 13);
  const auto embeddings = head_->model().embedding_weight().index_select(0, all.flatten()).view({2, 13, -1});
  EXPECT_TRUE(at::equal(run({.tokens = {}, .embeddings = embeddings}), run({.tokens = all})));
}

INSTANTIATE_TEST_SUITE_P(Variants, MegaEncoder, ::testing::ValuesIn(variants()), [](const auto& instance) { return instance.param.name; });

TEST(MegaEncoderTraining, CheckpointedGradientsAreEqualBitForBitWithEveryDropoutOn) {
  for (const bool by_feature : {false, true}) {
    const auto head = make_encoder({{"dropout_prob", 0.2}, {"hidden_dropout_prob", 0.2}, {"attention_probs_dropout_prob", 0.2}, {"nffn_activation_dropout_prob", 0.2},
                                    {"use_feature_dropout", by_feature}}, at::kFloat);
    head->train();
    const auto tokens = (at::arange(2 * 27, at::kLong).view({2, 27}) * 7 + 3).remainder(head->config().vocabulary());
    const auto gradients = [&](bool checkpointed, int64_t seed) {
      head->model().set_activation_checkpointing(checkpointed);
      head->zero_grad();
      at::manual_seed(seed);
      head->task_loss({.tokens = tokens}, {.values = tokens}).backward();
      std::map<std::string, at::Tensor> found;
      for (const auto& item : head->named_parameters()) found.emplace(item.key(), item.value().grad().clone());
      return found;
    };
    const auto plain = gradients(false, 5), again = gradients(true, 5), other = gradients(true, 6);
    for (const auto& [name, gradient] : plain) EXPECT_TRUE(at::equal(gradient, again.at(name))) << name << (by_feature ? " by feature" : "");
    EXPECT_FALSE(at::equal(plain.at("model.embedding.weight"), other.at("model.embedding.weight")));
  }
}

TEST(MegaEncoderTraining, LayersRecomputedSpanBySpanGiveTheSameGradients) {
  const auto head = make_encoder({{"dropout_prob", 0.2}, {"hidden_dropout_prob", 0.2}, {"attention_probs_dropout_prob", 0.2}, {"nffn_activation_dropout_prob", 0.2}});
  head->train();
  const auto tokens = (at::arange(3 * 27, at::kLong).view({3, 27}) * 7 + 3).remainder(head->config().vocabulary());
  const auto valid = at::ones({3, 27}, at::kBool), documents = at::zeros({3, 27}, at::kLong);
  valid[1].narrow(0, 20, 7).fill_(false);
  documents[2].narrow(0, 9, 18).fill_(1);
  const auto gradients = [&](int64_t span_tokens, const models::ModelInput& input) {
    head->model().set_activation_checkpointing(span_tokens > 0);
    head->model().set_checkpoint_span_tokens(span_tokens);
    head->zero_grad();
    at::manual_seed(5);
    head->task_loss(input, {.values = tokens}).backward();
    std::map<std::string, at::Tensor> found;
    for (const auto& item : head->named_parameters()) found.emplace(item.key(), item.value().grad().clone());
    return found;
  };
  for (const models::ModelInput& input : {models::ModelInput{.tokens = tokens}, models::ModelInput{.tokens = tokens, .valid = valid},
                                          models::ModelInput{.tokens = tokens, .document_ids = documents}}) {
    const auto plain = gradients(0, input);
    for (const int64_t span_tokens : {8, 60}) {  // parts of a row, and two rows at a time
      const auto by_span = gradients(span_tokens, input);
      for (const auto& [name, gradient] : plain) EXPECT_LT(difference(gradient, by_span.at(name)), 1e-12) << name << ", spans of " << span_tokens;
    }
  }
}

TEST(MegaEncoderSizes, TheParameterCountsOfTheSpecification) {
  Config encoder;  // the 16k encoder, a block of it and around it by the formulas
  encoder.vocab_size = 50265;
  encoder.hidden_size = 768;
  encoder.num_hidden_layers = 1;
  encoder.intermediate_size = encoder.nffn_hidden_size = 2304;
  encoder.shared_representation_size = 192;
  encoder.ema_projection_size = 32;
  encoder.use_chunking = true;
  encoder.chunk_size = 1024;
  encoder.max_positions = 16384;
  encoder.relative_positional_bias = models::mega::RelativeBias::simple;
  const auto counted = [&] { return models::count_parameters(*models::make_head(encoder, models::Task::masked_lm)); };
  const int64_t block = 197376 + 1771776 + 3100608 + 1770240 + 768 + 32767 + 3542016, around = 50265 * 768 + 768 * 768 + 768 + 50265;
  EXPECT_EQ(counted(), around + block + 2);
  encoder.normalization_type = models::mega::Normalization::layernorm;
  EXPECT_EQ(counted(), around + block + 3072);

  Config enwik8;  // 12 layers, D 512, simple numbers of its table; the final norm there has no parameters, the head no bias
  enwik8.vocab_size = 205;
  enwik8.hidden_size = 512;
  enwik8.num_hidden_layers = 12;
  enwik8.intermediate_size = enwik8.nffn_hidden_size = 1024;
  enwik8.shared_representation_size = 128;
  enwik8.ema_projection_size = 16;
  enwik8.bidirectional = false;
  enwik8.is_decoder = true;
  enwik8.normalization_type = models::mega::Normalization::layernorm;
  enwik8.add_lm_hidden_dense_layer = false;
  enwik8.final_norm = models::mega::FinalNorm::plain;
  EXPECT_EQ(enwik8.parameter_count() - 205, 39136256);
}

TEST(MegaEncoderPrecision, Bf16AtFourThousandTokensIsNearFp32) {
  const at::NoGradGuard no_grad;
  const auto head = make_encoder({}, at::kFloat);
  // Slow averages, so that what stood thousands of tokens before still counts.
  for (auto& item : head->named_parameters())
    if (item.key().ends_with("ema.damping")) item.value().fill_(-8);
  const auto tokens = (at::arange(4096, at::kLong).view({1, 4096}) * 7 + 3).remainder(head->config().vocabulary());
  const auto exact = head->outputs({.tokens = tokens}).front().tensor;
  head->model().set_compute_dtype(at::kBFloat16);
  const auto half = head->outputs({.tokens = tokens}).front().tensor.to(at::kFloat);
  const double relative = ((half - exact).square().mean() / exact.square().mean()).sqrt().item<double>();
  const auto last = exact.narrow(1, 3968, 128);
  const double at_end = ((half.narrow(1, 3968, 128) - last).square().mean() / last.square().mean()).sqrt().item<double>();
  EXPECT_GT(relative, 1e-5);
  EXPECT_LT(relative, 3e-2);
  EXPECT_LT(at_end, 3e-2);
}

}  // namespace
}  // namespace everlong::testing
