// What a model can learn at all: a symbol shown at the start of a document, asked for more than two attention chunks later.

#include <cmath>

#include <gtest/gtest.h>

#include "everlong/models/heads/causal_lm.h"
#include "everlong/models/registry.h"
#include "everlong/tensor/torch.h"
#include "everlong/train/adamw.h"

namespace everlong::train {
namespace {

constexpr int64_t kSymbols = 8, kFiller = 8, kQuery = 9, kVocabulary = 10;
constexpr int64_t kLen = 28;  // with chunks of 8 the query stands in the fourth chunk, the symbol in the first

/// One document a symbol: the symbol, filler, the query. Shapes  [8, T]
at::Tensor documents() {
  at::Tensor tokens = at::full({kSymbols, kLen}, kFiller, at::kLong);
  tokens.select(1, 0).copy_(at::arange(kSymbols, at::kLong));
  tokens.select(1, kLen - 1).fill_(kQuery);
  return tokens;
}

/// The symbol after the query; nothing else counts. Shapes  [8, T]
at::Tensor answers() {
  at::Tensor targets = at::full({kSymbols, kLen}, -100, at::kLong);
  targets.select(1, kLen - 1).copy_(at::arange(kSymbols, at::kLong));
  return targets;
}

struct Recall {
  double loss = 0;  ///< nats an answer
  int64_t right = 0;
};

Recall recall(models::CausalLm& model) {
  const at::NoGradGuard no_grad;
  model.eval();
  const at::Tensor best = model.forward({.tokens = documents()}, {}, true).logits.select(1, 0).argmax(-1);
  return {.loss = model.loss({.tokens = documents()}, answers()).mean.item<double>(),
          .right = best.eq(at::arange(kSymbols, at::kLong)).sum().item<int64_t>()};
}

std::shared_ptr<models::CausalLm> train_mega(std::vector<std::pair<std::string, ConfigValue>> overrides, int steps = 300) {
  auto config = models::find_architecture("mega").tiny_config();
  config->set_vocabulary(kVocabulary);
  const auto fields = config->fields();
  fields.set("ema_delta_alpha_range", 2.0);  // some averages with a long memory from the start: the test is about reach, not about patience
  fields.set("pad_token_id", int64_t{-1});   // every symbol is a token like the others
  fields.set("initializer_range", 0.2);      // of a width of 20, as 0.02 is of the published widths
  fields.set("add_lm_hidden_dense_layer", false);  // the head is not what is tested
  for (const auto& item : overrides) fields.set(item.first, item.second);
  at::manual_seed(1);
  auto model = std::make_shared<models::CausalLm>(*config);
  ParameterGroup group;
  for (const auto& item : model->named_parameters()) group.parameters.push_back({item.key(), item.value()});
  AdamW optimizer({group}, {.beta2 = 0.98});
  for (int step = 0; step < steps; ++step) {
    optimizer.zero_grad();
    model->loss({.tokens = documents()}, answers()).mean.backward();
    optimizer.clip_gradients(1.0);
    optimizer.step(1e-2);
  }
  return model;
}

TEST(Learning, AMegaRecallsASymbolFromBeyondItsAttention) {
  const auto model = train_mega({});
  const Recall learned = recall(*model);
  EXPECT_EQ(learned.right, kSymbols);
  EXPECT_LT(learned.loss, 0.1);

  const at::NoGradGuard no_grad;
  for (auto& item : model->named_parameters())
    if (item.key().ends_with("ema.projection")) item.value().zero_();
  const Recall cut = recall(*model);
  EXPECT_EQ(cut.right, 1);  // the same answer whatever the symbol was
  EXPECT_GE(cut.loss, std::log(8.0) - 1e-5);
}

TEST(Learning, WithoutItsMovingAveragesAMegaCannotLearnToRecall) {
  const auto model = train_mega({{"truncation", int64_t{1}}});
  const Recall learned = recall(*model);
  EXPECT_EQ(learned.right, 1);
  EXPECT_GE(learned.loss, std::log(8.0) - 1e-5);  // no answer that ignores the symbol does better
}

TEST(Learning, AttentionAloneRecallsInsideOneChunk) {
  const auto model = train_mega({{"truncation", int64_t{1}}, {"chunk_size", int64_t{32}}}, 600);  // attention to one place is learnt later than an average
  EXPECT_EQ(recall(*model).right, kSymbols);
}

}  // namespace
}  // namespace everlong::train
