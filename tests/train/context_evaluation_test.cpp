#include "everlong/train/context_evaluation.h"

#include <cmath>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/tensor/torch.h"
#include "everlong/train/evaluate.h"
#include "tests/support/message.h"
#include "tests/support/torch/models.h"

namespace everlong::train {
namespace {

std::shared_ptr<models::CausalLm> model_of(std::string_view architecture) {
  auto config = models::find_architecture(architecture).tiny_config();
  config->set_vocabulary(256);
  return testing::tiny_model(*config);
}

std::vector<int32_t> random_ids(const models::CausalLm& model, int64_t len, uint64_t seed) {
  const at::Tensor random = testing::random_tokens(model, 1, len, seed).to(at::kInt);
  return {random.const_data_ptr<int32_t>(), random.const_data_ptr<int32_t>() + len};
}

constexpr double kRounding = 100 * 1e-6;  // token losses are fp32 numbers below 16

/// Nats of the last `counted` tokens when the model reads all of them in one call.
double nats_of_end(models::CausalLm& model, const std::vector<int32_t>& ids, int64_t counted) {
  const at::NoGradGuard no_grad;
  const at::Tensor row = at::tensor(std::vector<int64_t>(ids.begin(), ids.end()), at::kLong).view({1, -1});
  const int64_t len = row.size(1) - 1;
  const auto loss = model.token_loss({.tokens = row.narrow(1, 0, len)}, row.narrow(1, 1, len), model.model().initial_state(1));
  return loss.nats.narrow(1, len - counted, counted).to(at::kDouble).sum().item<double>();
}

class ContextEvaluation : public ::testing::TestWithParam<const char*> {
 protected:
  std::shared_ptr<models::CausalLm> model_ = model_of(GetParam());
  std::unique_ptr<text::Tokenizer> tokenizer_ = text::make_bytes_tokenizer();
  std::vector<int32_t> text_ = random_ids(*model_, 60, 3), before_ = random_ids(*model_, 11, 4);
};

INSTANTIATE_TEST_SUITE_P(Architectures, ContextEvaluation, ::testing::Values("mega", "megalodon", "transformer"));

TEST_P(ContextEvaluation, AWindowIsScoredAsIfItsHistoryAndItselfWereTheWholeText) {
  const auto losses = evaluate_context(*model_, *tokenizer_, {}, text_, {.lengths = {1, 5, 30}, .windows = 2, .window_len = 9, .segment = 7});
  ASSERT_EQ(losses.size(), 3u);
  for (const ContextLoss& loss : losses) {
    double expected = 0;
    for (const int64_t begin : {30, 51})  // where the longest history fits, and the last 9 tokens
      expected += nats_of_end(*model_, {text_.begin() + begin - loss.history, text_.begin() + begin + 9}, 9);
    EXPECT_NEAR(loss.nats, expected, kRounding) << loss.history;
    EXPECT_EQ(loss.tokens, 18);
    EXPECT_EQ(loss.bytes, 18);
    EXPECT_EQ(loss.repeated, 0);
  }
  EXPECT_EQ(losses[0].gain, 0);
  EXPECT_NEAR(losses[2].gain, (losses[0].nats - losses[2].nats) / 18, 1e-12);
  EXPECT_GT(losses[2].gain_error, 0);
}

TEST_P(ContextEvaluation, WithoutHistoryTheFirstTokenCostsTheLogarithmOfTheVocabulary) {
  const auto losses = evaluate_context(*model_, *tokenizer_, {}, text_, {.lengths = {0}, .windows = 1, .window_len = 9});
  const double expected = std::log(256.0) + nats_of_end(*model_, {text_.begin() + 51, text_.end()}, 8);
  EXPECT_NEAR(losses.at(0).nats, expected, kRounding);
}

TEST_P(ContextEvaluation, TextsBeforeAreReadAgainFromTheirEndWhereTheyAreTooShort) {
  const auto losses = evaluate_context(*model_, *tokenizer_, before_, text_, {.lengths = {4, 28}, .windows = 1, .window_len = 60, .segment = 8});
  std::vector<int32_t> whole(before_.end() - 6, before_.end());
  for (int i = 0; i < 2; ++i) whole.insert(whole.end(), before_.begin(), before_.end());
  whole.insert(whole.end(), text_.begin(), text_.end());
  EXPECT_NEAR(losses.at(1).nats, nats_of_end(*model_, whole, 60), kRounding);
  EXPECT_EQ(losses[0].repeated, 0);
  EXPECT_EQ(losses[1].repeated, 2);
}

TEST_P(ContextEvaluation, TheLengthOfACallChangesNothing) {
  const ContextOptions options{.lengths = {0, 17}, .windows = 3, .window_len = 10, .segment = 1000};
  const auto whole = evaluate_context(*model_, *tokenizer_, before_, text_, options);
  for (const int64_t segment : {1, 7, 8, 16}) {
    ContextOptions cut = options;
    cut.segment = segment;
    const auto found = evaluate_context(*model_, *tokenizer_, before_, text_, cut);
    for (size_t i = 0; i < 2; ++i) EXPECT_NEAR(found[i].nats, whole[i].nats, kRounding) << segment;
  }
}

TEST(ContextEvaluationErrors, WhatCannotBeScoredIsRefused) {
  const auto model = model_of("mega");
  const auto tokenizer = text::make_bytes_tokenizer();
  const auto text = random_ids(*model, 60, 3);
  const auto refusal = [&](const ContextOptions& options) {
    return testing::message_of<InvalidArgument>([&] { (void)evaluate_context(*model, *tokenizer, {}, text, options); });
  };
  EXPECT_NE(refusal({.lengths = {}}).find("at least one length"), std::string::npos);
  EXPECT_NE(refusal({.lengths = {-1}}).find("got -1"), std::string::npos);
  EXPECT_NE(refusal({.lengths = {0}, .windows = 0}).find("windows in [1"), std::string::npos);
  EXPECT_NE(refusal({.lengths = {0}, .window_len = 1}).find("at least two tokens"), std::string::npos);
  EXPECT_NE(refusal({.lengths = {0}, .segment = 0}).find("segments of at least one"), std::string::npos);
  const std::string too_short = refusal({.lengths = {0, 30}, .windows = 4, .window_len = 8});
  EXPECT_NE(too_short.find("expected a text of 62 tokens: 4 windows of 8 and 30 before them, got 60"), std::string::npos) << too_short;
  EXPECT_NE(too_short.find("--history"), std::string::npos);
}

}  // namespace
}  // namespace everlong::train
