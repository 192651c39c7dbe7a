#include "everlong/train/evaluate.h"

#include <cmath>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/tensor/torch.h"
#include "tests/support/files.h"
#include "tests/support/torch/models.h"

namespace everlong::train {
namespace {

using testing::tiny_model;

std::shared_ptr<models::CausalLm> model_of(std::string_view architecture, int64_t vocab_size = 37) {
  auto config = models::find_architecture(architecture).tiny_config();
  config->set_vocabulary(vocab_size);
  return tiny_model(*config);
}

/// A model that knows nothing: all scores are zero.
std::shared_ptr<models::CausalLm> uniform_model(int64_t vocab_size) {
  auto model = model_of("mega", vocab_size);
  const at::NoGradGuard no_grad;
  for (at::Tensor& parameter : model->parameters()) parameter.zero_();
  return model;
}

std::vector<int32_t> tokens_for(const models::CausalLm& model, int64_t len) {
  const at::Tensor random = testing::random_tokens(model, 1, len).to(at::kInt);
  return {random.const_data_ptr<int32_t>(), random.const_data_ptr<int32_t>() + len};
}

constexpr int64_t kLen = 53;             // six chunks of 8 and five tokens
constexpr double kRounding = 53 * 4e-7;  // token losses are fp32 numbers below 8: half a unit in the last place each

TEST(Evaluator, SegmentsOfAnyLengthGiveTheSameNatsWithACarriedState) {
  for (const char* architecture : {"mega", "transformer"}) {
    const auto model = model_of(architecture);
    const auto tokens = tokens_for(*model, kLen);
    const auto whole = evaluate_tokens(*model, tokens, kLen, {.segment = 1000});
    EXPECT_EQ(whole.tokens, kLen);
    for (const int64_t segment : {1, 2, 7, 8, 9, 16, 52, 53, 54}) {
      const auto cut = evaluate_tokens(*model, tokens, kLen, {.segment = segment});
      EXPECT_NEAR(cut.nats, whole.nats, kRounding) << architecture << " " << segment;
      EXPECT_EQ(cut.tokens, kLen);
      ASSERT_EQ(cut.by_position.size(), whole.by_position.size());
      for (size_t i = 0; i < cut.by_position.size(); ++i) EXPECT_NEAR(cut.by_position[i].nats, whole.by_position[i].nats, kRounding);
    }
  }
}

TEST(Evaluator, NatsAreThoseOfTheLogits) {
  const auto model = model_of("mega");
  const auto tokens = tokens_for(*model, kLen);
  const at::NoGradGuard no_grad;
  const at::Tensor row = at::tensor(std::vector<int64_t>(tokens.begin(), tokens.end()), at::kLong).view({1, -1});
  const at::Tensor scores = at::log_softmax(model->forward({.tokens = row}, model->model().initial_state(1)).logits, -1, at::kDouble);
  double expected = std::log(37.0);
  for (int64_t t = 0; t + 1 < kLen; ++t) expected -= scores[0][t][row[0][t + 1].item<int64_t>()].item<double>();
  EXPECT_NEAR(evaluate_tokens(*model, tokens, kLen).nats, expected, kRounding);
}

TEST(Evaluator, ResetForgetsAtEachSegmentAndCarryDoesNot) {
  const auto model = model_of("mega");
  const auto tokens = tokens_for(*model, kLen);
  const auto carried = evaluate_tokens(*model, tokens, kLen, {.segment = 7});
  const auto reset = evaluate_tokens(*model, tokens, kLen, {.context = Context::reset, .segment = 7});
  EXPECT_GT(std::abs(carried.nats - reset.nats), 0.1);
  EXPECT_NEAR(evaluate_tokens(*model, tokens, kLen, {.context = Context::reset, .segment = kLen}).nats, carried.nats, kRounding);
}

TEST(Evaluator, TokensMayArriveInPiecesOfAnyLength) {
  const auto model = model_of("mega");
  const auto tokens = tokens_for(*model, kLen);
  Evaluator evaluator(*model, {.segment = 8});
  size_t begin = 0;
  for (const size_t len : {1, 0, 9, 8, 30, 5}) {
    evaluator.read(std::span(tokens).subspan(begin, len));
    begin += len;
  }
  ASSERT_EQ(begin, tokens.size());
  const auto pieces = evaluator.finish("pieces", kLen);
  EXPECT_EQ(pieces.nats, evaluate_tokens(*model, tokens, kLen, {.segment = 8}).nats);
  EXPECT_EQ(pieces.file, "pieces");
}

TEST(Evaluator, AUniformModelCostsTheLogarithmOfTheVocabularyAToken) {
  const auto model = uniform_model(64);
  const auto result = evaluate_tokens(*model, tokens_for(*model, 40), 30, {.segment = 9});
  EXPECT_NEAR(result.nats, 40 * std::log(64.0), 1e-4);
  EXPECT_NEAR(result.nats_per_token(), std::log(64.0), 1e-6);
  EXPECT_NEAR(result.perplexity(), 64.0, 1e-4);
  EXPECT_NEAR(result.bits_per_byte(), 8.0, 1e-5);  // 40 tokens of 6 bits over 30 bytes
  ASSERT_EQ(result.by_position.size(), 3u);
  const int64_t bounds[] = {0, 16, 32, 64}, counts[] = {16, 16, 8};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(result.by_position[i].begin, bounds[i]);
    EXPECT_EQ(result.by_position[i].end, bounds[i + 1]);
    EXPECT_EQ(result.by_position[i].tokens, counts[i]);
    EXPECT_NEAR(result.by_position[i].nats, static_cast<double>(counts[i]) * std::log(64.0), 1e-4);
  }
}

TEST(Evaluator, OneTokenCostsTheLogarithmOfTheVocabularyAndNothingIsRefused) {
  const auto model = uniform_model(64);
  EXPECT_NEAR(evaluate_tokens(*model, std::vector<int32_t>{5}, 1).nats, std::log(64.0), 1e-12);
  EXPECT_THROW(static_cast<void>(evaluate_tokens(*model, {}, 0)), InvalidArgument);
  EXPECT_THROW(Evaluator(*model, {.segment = 0}), InvalidArgument);
}

TEST(Evaluator, AFileCountsItsBytesAndMaxTokensReadsItsBeginning) {
  const testing::TemporaryFolder folder;
  const auto tokenizer = text::make_bytes_tokenizer();
  const auto model = uniform_model(tokenizer->vocab_size());
  testing::write_text(folder / "text.txt", "caf\xc3\xa9 au lait");
  const auto whole = evaluate_file(*model, *tokenizer, folder / "text.txt");
  EXPECT_EQ(whole.bytes, 13);
  EXPECT_EQ(whole.tokens, 13);
  EXPECT_NEAR(whole.bits_per_byte(), std::log2(static_cast<double>(tokenizer->vocab_size())), 1e-5);
  const auto beginning = evaluate_file(*model, *tokenizer, folder / "text.txt", {.max_tokens = 4});
  EXPECT_EQ(beginning.tokens, 4);
  EXPECT_EQ(beginning.bytes, 4);
  testing::write_text(folder / "empty.txt", "");
  EXPECT_THROW(static_cast<void>(evaluate_file(*model, *tokenizer, folder / "empty.txt")), InvalidArgument);
  EXPECT_THROW(static_cast<void>(evaluate_file(*model, *tokenizer, folder / "none.txt")), IoError);
}

}  // namespace
}  // namespace everlong::train
