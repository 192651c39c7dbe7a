#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/models/mega/config.h"
#include "everlong/tensor/torch.h"
#include "tests/support/torch/gradcheck.h"
#include "tests/support/torch/models.h"

namespace everlong::testing {
namespace {

using models::mega::Config;

std::unique_ptr<models::ArchitectureConfig> tiny(const Overrides& overrides = {}) { return tiny_config("mega", overrides); }

std::string refusal(const Overrides& overrides) {
  try {
    tiny(overrides)->validate();
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Mega, ParameterCountsOfThePublishedModels) {
  Config encoder;  // mega-encoder-small-16k: scalenorm, simple bias, with the dense layer of its masked-LM head
  encoder.vocab_size = 50265;
  encoder.hidden_size = 768;
  encoder.num_hidden_layers = 8;
  encoder.intermediate_size = encoder.nffn_hidden_size = 2304;
  encoder.shared_representation_size = 192;
  encoder.ema_projection_size = 32;
  encoder.max_positions = 16384;
  encoder.relative_positional_bias = models::mega::RelativeBias::simple;
  EXPECT_EQ(encoder.parameter_count(), 122568801);
}

TEST(Mega, ContradictoryConfigurationsAreRefusedWithTheirKeys) {
  EXPECT_EQ(refusal({}), "accepted");
  EXPECT_EQ(refusal({{"shared_representation_size", int64_t{7}}}), "[mega config] expected an even shared_representation_size with the rotary bias, got 7.");
  EXPECT_EQ(refusal({{"chunk_size", int64_t{-1}}}), "[mega config] expected chunk_size >= 1 with use_chunking, got -1.");
  EXPECT_EQ(refusal({{"relative_positional_bias", std::string("simple")}, {"max_positions", int64_t{4}}}),
            "[mega config] expected chunk_size <= max_positions with the simple bias, got chunk_size 8, max_positions 4.");
  EXPECT_EQ(refusal({{"pad_token_id", int64_t{37}}}), "[mega config] expected pad_token_id below vocab_size = 37, got 37.");
  EXPECT_NE(refusal({{"bidirectional", true}}).find("bidirectional = false with is_decoder"), std::string::npos);
  EXPECT_NE(refusal({{"add_cross_attention", true}, {"is_decoder", false}}).find("is_decoder = true with add_cross_attention"), std::string::npos);
}

TEST(Mega, ASimpleBiasBeyondItsTableSaysWhatToDo) {
  const at::NoGradGuard no_grad;
  const auto model = tiny_model(*tiny({{"use_chunking", false}, {"relative_positional_bias", std::string("simple")}}));
  try {
    static_cast<void>(model->forward({.tokens = random_tokens(*model, 1, 9)}));
    FAIL() << "a span of 9 tokens fits no bias of 8 positions";
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("use chunking, or relative_positional_bias = rotary"), std::string::npos) << error.what();
  }
}

TEST(Mega, GradientsOfEveryParameterAgreeWithDifferences) {
  for (const std::string function : {"softmax", "laplace", "relu2"}) {
    // Without a padding row: its lookup has no gradient by design.
    const auto model = tiny_model(*tiny({{"attention_activation", function}, {"pad_token_id", int64_t{-1}}}));
    const auto tokens = random_tokens(*model, 2, 13), targets = random_tokens(*model, 2, 13, 3);
    std::vector<at::Tensor> parameters;
    std::vector<std::string> names;
    for (const auto& item : model->named_parameters()) {
      parameters.push_back(item.value());
      names.push_back(item.key());
    }
    const auto loss = [&] { return model->loss({.tokens = tokens}, targets, model->model().initial_state(2)).mean; };
    loss().backward();
    // One random direction for each parameter: the slope of the loss along it against the inner product with the gradient.
    for (size_t i = 0; i < parameters.size(); ++i) {
      const at::NoGradGuard no_grad;
      const at::Tensor direction = at::randn_like(parameters[i]);
      const double step = 1e-5;
      parameters[i].add_(direction, step);
      const double above = loss().item<double>();
      parameters[i].add_(direction, -2 * step);
      const double below = loss().item<double>();
      parameters[i].add_(direction, step);
      const double slope = (above - below) / (2 * step);
      const double predicted = parameters[i].grad().defined() ? (parameters[i].grad() * direction).sum().item<double>() : 0.0;
      EXPECT_NEAR(slope, predicted, 1e-7 + 1e-6 * std::abs(slope)) << function << " " << names[i];
    }
  }
}

TEST(Mega, DropoutActsInTrainingOnlyAndChangesFromCallToCall) {
  const at::NoGradGuard no_grad;
  const auto model = tiny_model(*tiny({{"dropout_prob", 0.2}, {"hidden_dropout_prob", 0.2}, {"attention_probs_dropout_prob", 0.2}, {"nffn_activation_dropout_prob", 0.2}}));
  const auto tokens = random_tokens(*model, 1, 20);
  const auto run = [&] { return model->forward({.tokens = tokens}).logits; };
  EXPECT_TRUE(at::equal(run(), run()));
  model->train();
  EXPECT_FALSE(at::allclose(run(), run()));
  at::manual_seed(5);
  const auto first = run();
  at::manual_seed(5);
  EXPECT_TRUE(at::equal(first, run()));
}

}  // namespace
}  // namespace everlong::testing
