#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/models/bart_decoder/config.h"
#include "everlong/models/model_directory.h"
#include "everlong/tensor/torch.h"
#include "tests/support/files.h"
#include "tests/support/torch/models.h"

namespace everlong::testing {
namespace {

using models::bart_decoder::Config;

double difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

Config tiny() { return dynamic_cast<const Config&>(*models::find_architecture("bart_decoder").tiny_config()); }

TEST(BartDecoder, EncoderStatesReadOnceStayInTheState) {
  const at::NoGradGuard no_grad;
  const auto model = tiny_model(tiny());
  const auto tokens = random_tokens(*model, 2, 12);
  const at::Tensor memory = at::randn({2, 5, 24}, at::kDouble), valid = at::ones({2, 5}, at::kBool);
  valid[1].narrow(0, 3, 2).fill_(false);
  const auto whole = model->forward({.tokens = tokens, .memory = memory, .memory_valid = valid});
  auto read = model->forward({.tokens = tokens.narrow(1, 0, 4), .memory = memory, .memory_valid = valid}, model->model().initial_state(2));
  EXPECT_LT(difference(read.logits, whole.logits.narrow(1, 0, 4)), 1e-12);
  for (int64_t t = 4; t < 12; ++t) {
    read = model->forward({.tokens = tokens.narrow(1, t, 1)}, std::move(read.state));
    EXPECT_LT(difference(read.logits, whole.logits.narrow(1, t, 1)), 1e-12) << t;
  }
  EXPECT_GT(difference(model->forward({.tokens = tokens}).logits, whole.logits), 1e-3);
}

TEST(BartDecoder, PaddingAmongEncoderStatesIsNotSeen) {
  const at::NoGradGuard no_grad;
  const auto model = tiny_model(tiny());
  const auto tokens = random_tokens(*model, 2, 6);
  const at::Tensor memory = at::randn({2, 5, 24}, at::kDouble), valid = at::ones({2, 5}, at::kBool);
  valid[1].narrow(0, 3, 2).fill_(false);
  const auto padded = model->forward({.tokens = tokens, .memory = memory, .memory_valid = valid}).logits;
  const auto cut = model->forward({.tokens = tokens.narrow(0, 1, 1), .memory = memory.narrow(0, 1, 1).narrow(1, 0, 3)}).logits;
  EXPECT_LT(difference(padded[1], cut[0]), 1e-12);
}

TEST(BartDecoder, ARowWithoutAnyValidEncoderStateAttendsToNothing) {
  const at::NoGradGuard no_grad;
  const auto model = tiny_model(tiny());
  const auto tokens = random_tokens(*model, 2, 6);
  const at::Tensor memory = at::randn({2, 5, 24}, at::kDouble), valid = at::ones({2, 5}, at::kBool);
  valid[1].fill_(false);
  const auto logits = model->forward({.tokens = tokens, .memory = memory, .memory_valid = valid}).logits;
  const auto other = model->forward({.tokens = tokens, .memory = memory + 1, .memory_valid = valid}).logits;
  EXPECT_TRUE(at::equal(logits[1], other[1]));
  EXPECT_FALSE(at::equal(logits[0], other[0]));
  EXPECT_FALSE(at::isnan(logits).any().item<bool>());
}

TEST(BartDecoder, ATextBeyondTheLearnedPositionsIsRefused) {
  const at::NoGradGuard no_grad;
  const auto model = tiny_model(tiny());
  auto read = model->forward({.tokens = random_tokens(*model, 1, 64)}, model->model().initial_state(1));
  EXPECT_THROW(static_cast<void>(model->forward({.tokens = random_tokens(*model, 1, 1)}, std::move(read.state))), Unsupported);
  EXPECT_THROW(static_cast<void>(model->forward({.tokens = random_tokens(*model, 1, 65)})), Unsupported);
}

TEST(BartDecoder, EncoderStatesOfAnotherWidthAreRefused) {
  const auto model = tiny_model(tiny());
  EXPECT_THROW(static_cast<void>(model->forward({.tokens = random_tokens(*model, 1, 3), .memory = at::randn({1, 5, 20}, at::kDouble)})),
               InvalidArgument);
}

TEST(BartDecoder, ConfigurationsThatDoNotFitAreRefused) {
  Config config = tiny();
  config.decoder_attention_heads = 5;
  EXPECT_THROW(config.validate(), InvalidArgument);
  config = tiny();
  config.pad_token_id = 37;
  EXPECT_THROW(config.validate(), InvalidArgument);
  config = tiny();
  config.decoder_layerdrop = 0.1;
  EXPECT_THROW(config.validate(), Unsupported);
}

/// The file of a whole model: embeddings shared by both halves, an encoder, names with or without "model.".
checkpoint::TensorMap whole_model(const models::CausalLm& decoder, const std::string& prefix) {
  checkpoint::TensorMap tensors;
  for (const auto& [name, tensor] : models::public_weights(decoder)) tensors.emplace(prefix + name.substr(std::string("model.").size()), tensor);
  tensors[prefix + "shared.weight"] = tensors.at(prefix + "decoder.embed_tokens.weight");
  tensors.erase(prefix + "decoder.embed_tokens.weight");
  tensors[prefix + "encoder.embed_tokens.weight"] = at::ones({37, 24});
  tensors[prefix + "encoder.layers.0.self_attn.k_proj.weight"] = at::ones({24, 24});
  tensors[prefix + "encoder.layers.0.fc1.bias"] = at::ones({32});
  tensors[prefix + "encoder.layernorm_embedding.weight"] = at::ones({24});
  tensors["final_logits_bias"] = at::zeros({1, 37});
  return tensors;
}

TEST(BartDecoder, ItsHalfOfAWholeModelIsTaken) {
  const auto model = tiny_model(tiny(), at::kFloat);
  for (const std::string prefix : {"model.", ""}) {
    const TemporaryFolder folder;
    models::save_model(folder.path(), *model);
    checkpoint::save_tensors(folder / "model.safetensors", whole_model(*model, prefix));
    const auto loaded = models::load_causal_lm(folder.path());
    EXPECT_EQ(loaded.report.ignored.size(), 4u);
    EXPECT_TRUE(loaded.report.unexpected.empty());
    const auto theirs = checkpoint::own_tensors(*loaded.model);
    for (const auto& [name, tensor] : checkpoint::own_tensors(*model)) EXPECT_TRUE(at::equal(theirs.at(name), tensor)) << name;
  }
}

TEST(BartDecoder, ABiasOfTheScoresIsLoadedWhereTheConfigurationHasOneAndNeverLost) {
  Config config = tiny();
  config.final_logits_bias = true;
  const TemporaryFolder folder;
  auto model = tiny_model(config, at::kFloat);
  models::save_model(folder.path(), *model);
  auto tensors = models::public_weights(*model);
  tensors["final_logits_bias"] = at::arange(37, at::kFloat).view({1, 37});
  checkpoint::save_tensors(folder / "model.safetensors", tensors);
  EXPECT_TRUE(at::equal(models::load_causal_lm(folder.path()).model->named_parameters()["head.output.bias"], at::arange(37, at::kFloat)));

  models::save_model(folder.path(), *tiny_model(tiny(), at::kFloat));
  checkpoint::save_tensors(folder / "model.safetensors", tensors);
  EXPECT_THROW(static_cast<void>(models::load_causal_lm(folder.path())), FormatError);
}

TEST(BartDecoder, DropoutLeavesAlignedGradientsWithCheckpointing) {
  Config config = tiny();
  config.dropout = config.activation_dropout = 0.2;
  const auto model = tiny_model(config);
  model->train();
  const auto tokens = random_tokens(*model, 2, 9);
  const at::Tensor memory = at::randn({2, 5, 24}, at::kDouble);
  const auto gradient = [&](bool checkpointed) {
    model->model().set_activation_checkpointing(checkpointed);
    model->zero_grad();
    at::manual_seed(4);
    model->loss({.tokens = tokens, .memory = memory}, tokens).mean.backward();
    return model->named_parameters()["model.layers.0.cross_attention.k_proj.weight"].grad().clone();
  };
  const at::Tensor plain = gradient(false);
  EXPECT_LT(difference(plain, gradient(true)), 1e-13);
  EXPECT_GT(plain.abs().max().item<double>(), 1e-6);
}

}  // namespace
}  // namespace everlong::testing
