// What is learned from conversations: the answers, and nothing of what is asked.

#include <gtest/gtest.h>

#include "everlong/data/batches.h"
#include "everlong/data/chats.h"
#include "everlong/data/token_stream.h"
#include "everlong/tensor/torch.h"
#include "everlong/train/evaluate.h"
#include "tests/support/files.h"
#include "tests/support/torch/models.h"

namespace everlong::train {
namespace {

constexpr const char* kLine =
    R"({"messages": [{"role": "user", "content": "ab?"}, {"role": "assistant", "content": "cd."}, {"role": "user", "content": "e?"}]})";
const std::string kText = "User: ab?\nAssistant: cd.\nUser: e?\n";
constexpr size_t kAnswerBegin = 20, kAnswerEnd = 25;  // " cd.\n"

class ChatLoss : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::write_text(folder_ / "c.jsonl", kLine);
    ASSERT_EQ(kText.substr(kAnswerBegin, kAnswerEnd - kAnswerBegin), " cd.\n");
    const text::ChatFormat format{.chat_template = text::ChatTemplate(text::default_chat_template()), .bos_token = "", .eos_token = ""};
    corpus_ = std::make_shared<data::Corpus>(data::read_chats(std::vector{folder_ / "c.jsonl"}, *tokenizer_, format));
    ASSERT_EQ(corpus_->num_tokens(), static_cast<int64_t>(kText.size()));
    auto config = models::find_architecture("megalodon").tiny_config();
    config->set_vocabulary(256);
    model_ = testing::tiny_model(*config);
    tokens_ = at::empty({1, corpus_->num_tokens()}, at::kLong);
    targets_ = at::empty_like(tokens_);
    const at::Tensor documents = at::empty_like(tokens_);
    const auto span = [](const at::Tensor& tensor) { return std::span(tensor.mutable_data_ptr<int64_t>(), static_cast<size_t>(tensor.numel())); };
    data::TokenStream(corpus_, {}).read_row(0, {span(tokens_), span(targets_), span(documents)});
  }

  /// Mean cross-entropy of the answer's tokens, straight from the logits and the text.
  at::Tensor loss_of_answer() {
    const at::Tensor scores = at::log_softmax(model_->forward({.tokens = tokens_}).logits, -1);
    at::Tensor sum = at::zeros({}, scores.options());
    for (size_t i = kAnswerBegin; i < kAnswerEnd; ++i) sum = sum - scores[0][static_cast<int64_t>(i) - 1][static_cast<unsigned char>(kText[i])];
    return sum / static_cast<double>(kAnswerEnd - kAnswerBegin);
  }

  std::vector<at::Tensor> gradients_of(const at::Tensor& loss) {
    model_->zero_grad();
    loss.backward();
    std::vector<at::Tensor> gradients;
    for (const at::Tensor& parameter : model_->parameters())
      gradients.push_back(parameter.grad().defined() ? parameter.grad().clone() : at::zeros_like(parameter));
    return gradients;
  }

  testing::TemporaryFolder folder_;
  std::unique_ptr<text::Tokenizer> tokenizer_ = text::make_bytes_tokenizer();
  std::shared_ptr<const data::Corpus> corpus_;
  std::shared_ptr<models::CausalLm> model_;
  at::Tensor tokens_, targets_;
};

TEST_F(ChatLoss, LossAndGradientsAreThoseOfTheAnswersTokensAlone) {
  const auto loss = model_->loss({.tokens = tokens_}, targets_);
  EXPECT_EQ(loss.count, static_cast<int64_t>(kAnswerEnd - kAnswerBegin));
  const at::Tensor expected = loss_of_answer();
  EXPECT_NEAR(loss.mean.item<double>(), expected.item<double>(), 1e-6);
  const auto found = gradients_of(loss.mean), wanted = gradients_of(expected);
  for (size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(at::allclose(found[i], wanted[i], 1e-6, 1e-8)) << i;
}

TEST_F(ChatLoss, AnotherLabelInTheQuestionChangesNothingAndOneInTheAnswerDoes) {
  const auto loss_with = [&](size_t position, char label) {
    // Only the label changes, not the token that is read: as if another text should have been predicted there.
    at::Tensor targets = targets_.clone();
    at::Tensor target = targets[0][static_cast<int64_t>(position) - 1];
    if (target.item<int64_t>() != data::kNoTarget) target.fill_(static_cast<int64_t>(label));
    return model_->loss({.tokens = tokens_}, targets).mean;
  };
  const at::Tensor plain = model_->loss({.tokens = tokens_}, targets_).mean;
  const auto gradients = gradients_of(plain);
  for (const size_t i : {1, 7, 19, 20, 22, 24, 25, 30}) {
    const at::Tensor changed = loss_with(i, '#');
    const bool in_answer = i >= kAnswerBegin && i < kAnswerEnd;
    EXPECT_EQ(changed.item<double>() == plain.item<double>(), !in_answer) << i;
    const auto found = gradients_of(changed);
    bool same = true;
    for (size_t p = 0; p < found.size(); ++p) same = same && at::equal(found[p], gradients[p]);
    EXPECT_EQ(same, !in_answer) << i;
  }
}

TEST_F(ChatLoss, EvaluationCountsTheAnswersInAnySegments) {
  const double expected = loss_of_answer().item<double>() * static_cast<double>(kAnswerEnd - kAnswerBegin);
  for (const int64_t segment : {1, 7, 22, 1000}) {
    const Evaluation found = evaluate_answers(*model_, *tokenizer_, corpus_, "c.jsonl", segment);
    EXPECT_NEAR(found.nats, expected, 1e-5) << segment;
    EXPECT_EQ(found.tokens, 5);
    EXPECT_EQ(found.bytes, 5);
  }
}

}  // namespace
}  // namespace everlong::train
