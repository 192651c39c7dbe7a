// Encoder-decoder models: the pair as one model, on disk, and against transformers' EncoderDecoderModel.

#include <cstdlib>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/checkpoint/tensor_file.h"
#include "everlong/models/encoder_decoder_directory.h"
#include "everlong/models/registry.h"
#include "everlong/tensor/torch.h"
#include "tests/support/files.h"
#include "tests/support/torch/models.h"

namespace everlong::testing {
namespace {

using models::EncoderDecoder;

double difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

std::unique_ptr<models::ArchitectureConfig> encoder_config() {
  auto config = models::find_architecture("mega").tiny_config();
  config->fields().set("is_decoder", false);
  config->fields().set("bidirectional", true);
  return config;
}

std::unique_ptr<models::ArchitectureConfig> decoder_config(const std::string& architecture) {
  auto config = models::find_architecture(architecture).tiny_config();
  config->set_vocabulary(31);
  if (architecture == "mega") config->fields().set("add_cross_attention", true);
  return config;  // the decoder of BART has another width than the encoder
}

std::shared_ptr<EncoderDecoder> make_pair(const std::string& architecture, at::ScalarType dtype = at::kDouble) {
  at::manual_seed(3);
  auto model = std::make_shared<EncoderDecoder>(std::make_shared<models::Embedder>(*encoder_config()),
                                                std::make_shared<models::CausalLm>(*decoder_config(architecture)),
                                                models::EncoderDecoderConfig{.decoder_start_token_id = 2, .pad_token_id = 1, .eos_token_id = 0});
  const at::NoGradGuard no_grad;
  for (at::Tensor& parameter : model->parameters()) parameter.add_(at::randn_like(parameter), 0.15);
  if (dtype == at::kDouble) model->to(at::kDouble);
  model->set_compute_dtype(dtype);
  model->eval();
  return model;
}

models::ModelInput source_of(int64_t seq_len = 13, int64_t cut = 4) {
  at::manual_seed(8);
  models::ModelInput source{.tokens = at::randint(37, {2, seq_len}, at::kLong), .valid = at::ones({2, seq_len}, at::kBool)};
  (*source.valid)[1].narrow(0, seq_len - cut, cut).fill_(false);
  return source;
}

/// Writes a pair and what it computes into a folder that a test of another language reads. Lengths are such that transformers takes them too.
void keep_for_interop(EncoderDecoder& model, const std::filesystem::path& folder) {
  const at::NoGradGuard no_grad;
  std::filesystem::create_directories(folder);
  models::save_encoder_decoder(folder, model);
  const models::ModelInput source = source_of(16);
  const at::Tensor tokens = random_tokens(model.decoder(), 2, 16);
  const at::Tensor logits = model.decode(tokens, model.encode(source)).logits;
  checkpoint::save_tensors(
      folder / "expected.safetensors",
      {{"input_ids", source.tokens}, {"attention_mask", source.valid->to(at::kLong)}, {"decoder_input_ids", tokens}, {"logits", logits}});
}

class Seq2Seq : public ::testing::TestWithParam<std::string> {};

TEST_P(Seq2Seq, CachedDecodingEqualsTheFullForward) {
  const at::NoGradGuard no_grad;
  const auto model = make_pair(GetParam());
  const auto tokens = random_tokens(model->decoder(), 2, 19);
  const auto encoded = model->encode(source_of());
  const auto whole = model->decode(tokens, encoded);
  auto read = model->decode(tokens.narrow(1, 0, 3), encoded, model->decoder().model().initial_state(2));
  EXPECT_LT(difference(read.logits, whole.logits.narrow(1, 0, 3)), 1e-11);
  for (int64_t t = 3; t < 19; ++t) {
    read = model->decode(tokens.narrow(1, t, 1), {}, std::move(read.state));
    EXPECT_LT(difference(read.logits, whole.logits.narrow(1, t, 1)), 1e-11) << t;
  }
}

TEST_P(Seq2Seq, TheSourceMattersAndItsPaddingDoesNot) {
  const at::NoGradGuard no_grad;
  const auto model = make_pair(GetParam());
  const auto tokens = random_tokens(model->decoder(), 2, 6);
  const auto source = source_of();
  const auto logits = model->decode(tokens, model->encode(source)).logits;
  auto longer = source;  // padding to a multiple of the chunk
  longer.tokens = at::cat({source.tokens, at::ones({2, 11}, at::kLong)}, 1);
  longer.valid = at::cat({*source.valid, at::zeros({2, 11}, at::kBool)}, 1);
  const auto encoded = model->encode(longer);
  EXPECT_EQ(encoded.states.size(1), 13);
  EXPECT_LT(difference(model->decode(tokens, encoded).logits, logits), 1e-11);
  const models::ModelInput alone{.tokens = source.tokens.narrow(0, 1, 1).narrow(1, 0, 9)};
  EXPECT_LT(difference(model->decode(tokens.narrow(0, 1, 1), model->encode(alone)).logits[0], logits[1]), 1e-11);
  auto other = source;
  other.tokens = (source.tokens + 1) % 37;
  EXPECT_GT(difference(model->decode(tokens, model->encode(other)).logits, logits), 1e-3);
}

TEST_P(Seq2Seq, TheLossIsThatOfTheShiftedTargetsAndReachesTheEncoder) {
  const auto model = make_pair(GetParam());
  const auto source = source_of();
  auto labels = random_tokens(model->decoder(), 2, 7);
  labels[1].narrow(0, 4, 3).fill_(-100);
  const auto input = model->shifted(labels);
  EXPECT_TRUE(at::equal(input.tokens.select(1, 0), at::full({2}, 2, at::kLong)));
  EXPECT_TRUE(at::equal(input.tokens[0].narrow(0, 1, 6), labels[0].narrow(0, 0, 6)));
  EXPECT_TRUE(at::equal(input.tokens[1].narrow(0, 5, 2), at::full({2}, 1, at::kLong)));
  const auto loss = model->loss(source, labels);
  EXPECT_EQ(loss.count, 11);
  const auto logits = model->decode(input.tokens, model->encode(source)).logits;
  const auto expected = at::cross_entropy_loss(logits.flatten(0, 1), labels.flatten());
  EXPECT_LT(difference(loss.mean, expected), 1e-11);
  loss.mean.backward();
  const auto parameters = model->encoder().model().named_parameters();
  int64_t reached = 0;
  for (const auto& item : parameters) reached += item.value().grad().defined() && item.value().grad().abs().max().item<double>() > 1e-9;
  EXPECT_EQ(reached, static_cast<int64_t>(parameters.size()));
}

/// Central differences of the loss in the direction of a random change of the encoder's embedding.
TEST_P(Seq2Seq, TheEncodersGradientIsTheSlopeOfTheLoss) {
  const auto model = make_pair(GetParam());
  const auto source = source_of();
  const auto labels = random_tokens(model->decoder(), 2, 7);
  for (at::Tensor weight : {model->encoder().model().parameters().front(), model->decoder().model().parameters().front()}) {
    model->zero_grad();
    model->loss(source, labels).mean.backward();
    const at::NoGradGuard no_grad;
    const at::Tensor direction = at::randn_like(weight);
    direction[1].zero_();  // padding, which learns nothing
    const double h = 1e-5;
    const auto at_step = [&](double step) {
      weight.add_(direction, step);
      return model->loss(source, labels).mean.item<double>();
    };
    const double above = at_step(h), below = at_step(-2 * h);
    weight.add_(direction, h);
    EXPECT_NEAR((above - below) / (2 * h), (weight.grad() * direction).sum().item<double>(), 1e-7);
  }
}

TEST_P(Seq2Seq, ThePairSurvivesTheDiskBitForBit) {
  const TemporaryFolder folder, again;
  const auto model = make_pair(GetParam(), at::kFloat);
  models::save_encoder_decoder(folder.path(), *model);
  EXPECT_TRUE(models::holds_encoder_decoder(folder.path()));
  const auto loaded = models::load_encoder_decoder(folder.path());
  EXPECT_TRUE(loaded.report.unexpected.empty());
  EXPECT_TRUE(loaded.report.missing.empty());
  EXPECT_EQ(loaded.model->config().decoder_start_token_id, 2);
  const auto theirs = checkpoint::own_tensors(*loaded.model);
  for (const auto& [name, tensor] : checkpoint::own_tensors(*model)) EXPECT_TRUE(at::equal(theirs.at(name), tensor)) << name;
  models::save_encoder_decoder(again.path(), *loaded.model, loaded.document);
  for (const char* file : {"config.json", "model.safetensors"}) EXPECT_EQ(read_text(folder / file), read_text(again / file)) << file;
  if (const char* kept = std::getenv("EVERLONG_WRITTEN_PAIRS")) keep_for_interop(*loaded.model, std::filesystem::path(kept) / GetParam());
}

TEST_P(Seq2Seq, TwoFoldersMakeAPair) {
  const TemporaryFolder encoder, decoder;
  at::manual_seed(6);
  const models::Embedder first(*encoder_config());
  auto config = decoder_config(GetParam());
  if (GetParam() == "mega") config->fields().set("add_cross_attention", false);
  const models::CausalLm second(*config);
  models::save_model(encoder.path(), first);
  models::save_model(decoder.path(), second);
  const auto loaded = models::pair_encoder_decoder(encoder.path(), decoder.path(), {.decoder_start_token_id = 0});
  const auto theirs = checkpoint::own_tensors(*loaded.model);
  for (const auto& [name, tensor] : checkpoint::own_tensors(first)) EXPECT_TRUE(at::equal(theirs.at("encoder." + name), tensor)) << name;
  for (const auto& [name, tensor] : checkpoint::own_tensors(second)) EXPECT_TRUE(at::equal(theirs.at("decoder." + name), tensor)) << name;
  EXPECT_FALSE(loaded.notes.empty());  // a fresh cross-attention, or a fresh projection
  static_cast<void>(loaded.model->loss(source_of(), random_tokens(loaded.model->decoder(), 2, 5)));
}

INSTANTIATE_TEST_SUITE_P(Decoders, Seq2Seq, ::testing::Values("mega", "bart_decoder"), [](const auto& instance) { return instance.param; });

TEST(EncoderDecoder, WhatDoesNotFitIsRefused) {
  const auto encoder = std::make_shared<models::Embedder>(*encoder_config());
  const auto decoder = std::make_shared<models::CausalLm>(*decoder_config("mega"));
  const auto alone = std::make_shared<models::CausalLm>(*models::find_architecture("mega").tiny_config());
  EXPECT_THROW(EncoderDecoder(encoder, alone, {.decoder_start_token_id = 0}), Unsupported);
  EXPECT_THROW(EncoderDecoder(encoder, decoder, {}), InvalidArgument);
  EXPECT_THROW(EncoderDecoder(encoder, decoder, {.decoder_start_token_id = 31}), InvalidArgument);
  EncoderDecoder model(encoder, decoder, {.decoder_start_token_id = 0});
  EXPECT_THROW(static_cast<void>(model.loss(source_of(), at::zeros({3, 4}, at::kLong))), InvalidArgument);
  EXPECT_THROW(static_cast<void>(model.loss(source_of(), at::zeros({2, 0}, at::kLong))), InvalidArgument);
}

TEST(EncoderDecoder, BrokenFoldersAreRefused) {
  const TemporaryFolder folder;
  const auto model = make_pair("bart_decoder", at::kFloat);
  models::save_encoder_decoder(folder.path(), *model);
  auto tensors = models::public_weights(*model);
  tensors.erase("enc_to_dec_proj.weight");
  checkpoint::save_tensors(folder / "model.safetensors", tensors);
  EXPECT_THROW(static_cast<void>(models::load_encoder_decoder(folder.path())), FormatError);
  tensors["enc_to_dec_proj.weight"] = at::zeros({3, 3});
  checkpoint::save_tensors(folder / "model.safetensors", tensors);
  EXPECT_THROW(static_cast<void>(models::load_encoder_decoder(folder.path())), FormatError);
  write_text(folder / "config.json", R"({"model_type": "encoder-decoder", "encoder": {"model_type": "mega"}})");
  EXPECT_THROW(static_cast<void>(models::load_encoder_decoder(folder.path())), FormatError);
  write_text(folder / "config.json", R"({"model_type": "encoder-decoder", "encoder": 3, "decoder": []})");
  EXPECT_THROW(static_cast<void>(models::load_encoder_decoder(folder.path())), FormatError);
}

class GoldenPair : public ::testing::TestWithParam<std::string> {};

/// transformers' own numbers in fp64; targets that are padding have none.
TEST_P(GoldenPair, LogitsLossAndGradientsAreThoseOfTransformers) {
  const auto folder = source_path("tests/golden/encoder_decoder/" + GetParam());
  const auto loaded = models::load_encoder_decoder(folder, at::kDouble);
  EncoderDecoder& model = *loaded.model;
  model.set_compute_dtype(at::kDouble);
  EXPECT_TRUE(loaded.report.unexpected.empty());
  const auto expected = checkpoint::load_tensors(folder / "expected.safetensors").tensors;
  const models::ModelInput source{.tokens = expected.at("in.input_ids"), .valid = expected.at("in.attention_mask").to(at::kBool)};
  const at::Tensor labels = expected.at("in.labels"), counted = (labels != -100).unsqueeze(-1);

  const auto input = model.shifted(labels);
  const auto logits = model.decode(input.tokens, model.encode(source)).logits;
  EXPECT_LT(difference(logits.masked_fill(counted.logical_not(), 0), expected.at("logits").masked_fill(counted.logical_not(), 0)), 1e-10);
  const at::Tensor loss = model.loss(source, labels).mean;
  EXPECT_LT(difference(loss, expected.at("loss")), 1e-12);
  loss.backward();
  std::map<std::string, at::Tensor> gradients;
  for (const auto& [name, tensor] : models::public_weights(model)) gradients.emplace(name, tensor);
  int64_t compared = 0;
  for (const auto& [name, wanted] : expected) {
    if (!name.starts_with("grad.")) continue;
    const auto found = gradients.find(name.substr(5));
    ASSERT_NE(found, gradients.end()) << name;
    const at::Tensor own = (found->second.is_leaf() ? found->second : at::Tensor(found->second._base())).grad();
    EXPECT_LT(difference(own.defined() ? own.view(wanted.sizes()) : at::zeros_like(wanted), wanted), 1e-10) << name;
    ++compared;
  }
  EXPECT_GT(compared, 60);
}

INSTANTIATE_TEST_SUITE_P(Transformers, GoldenPair, ::testing::Values("mega_bart", "mega_mega"), [](const auto& instance) { return instance.param; });

}  // namespace
}  // namespace everlong::testing
