// Checkpoints of MEGA's original release, made by renaming the tensors of golden cases.

#include <regex>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/checkpoint/training_file.h"
#include "everlong/models/mega/config.h"
#include "everlong/models/model_directory.h"
#include "everlong/tensor/torch.h"
#include "tests/support/files.h"
#include "tests/support/torch/models.h"

namespace everlong::testing {
namespace {

using checkpoint::Settings;
using checkpoint::TensorMap;

/// The converter's table, written down a second time and in the other direction.
std::string original_name(std::string name, const std::string& layers) {
  const std::vector<std::pair<std::string, std::string>> table = {
      {"ema_gate\\.damping_factor", "move.delta"},   {"ema_gate\\.decay_factor", "move.alpha"}, {"ema_gate\\.ema_expansion_matrix", "move.beta"},
      {"ema_gate\\.kernel_projection_matrix", "move.gamma"}, {"ema_gate\\.residual_weight", "move.omega"}, {"\\.qk_weight", ".gamma"},
      {"\\.qk_bias", ".beta"},                       {"\\.b_param", ".beta"},                   {"^mega\\.layers\\.", layers}};
  for (const auto& [theirs, original] : table) name = std::regex_replace(name, std::regex(theirs), original);
  return name;
}

std::filesystem::path golden(const std::string& name) { return source_path("tests/golden/mega/" + name); }

Settings settings_of(const models::mega::Config& c, const std::string& side) {
  models::mega::Config copy = c;
  const Fields fields = copy.fields();
  const auto text = [&](const char* key) { return fields.find(key)->get(); };
  Settings settings{{"activation_fn", text("activation")},
                    {"attention_activation_fn", text("attention_activation")},
                    {"normalization_type", text("normalization_type")},
                    {"normalize_before", c.normalize_before_mega},
                    {"truncation_length", int64_t{0}},
                    {side + "chunk_size", c.use_chunking ? c.chunk_size : int64_t{-1}},
                    {"max_source_positions", c.max_positions},
                    {"max_target_positions", c.max_positions}};
  return settings;
}

/// A golden case's tensors with both names of the tied matrix, as the original's modules have them.
TensorMap golden_tensors(const std::filesystem::path& folder) {
  TensorMap tensors = checkpoint::load_weights(folder).tensors;
  const char *embedding = "mega.embedding_layer.word_embeddings.weight", *head = "mlm_head.weight";
  if (!tensors.contains(embedding)) tensors[embedding] = tensors.at(head);
  if (!tensors.contains(head)) tensors[head] = tensors.at(embedding);
  return tensors;
}

/// The masked language model of a golden case as the wrapper around the original encoder saves it.
TensorMap as_wrapper(const std::filesystem::path& folder, const models::mega::Config& c) {
  TensorMap renamed;
  for (const auto& [name, tensor] : golden_tensors(folder)) {
    const bool table = c.use_chunking && name.ends_with("rel_pos_bias.rel_pos_bias");
    const std::string theirs = name == "mega.embedding_layer.word_embeddings.weight" ? "mega.embedding_layer.weight" : original_name(name, "mega.encoders.");
    renamed[theirs] = table ? tensor.narrow(0, 0, 2 * c.chunk_size - 1).clone() : tensor;
  }
  return renamed;
}

const models::mega::Config& mega(const models::TaskHead& head) { return dynamic_cast<const models::mega::Config&>(head.config()); }

at::Tensor some_tokens(const models::TaskHead& head, int64_t len) {
  return (at::arange(2 * len, at::kLong).view({2, len}) * 7 + 3).remainder(head.config().vocabulary());
}

at::Tensor logits_of(models::TaskHead& head, int64_t len) {
  const at::NoGradGuard no_grad;
  return head.outputs({.tokens = some_tokens(head, len)}).front().tensor;
}

TEST(Fairseq, AMaskedLanguageModelGivesTheLogitsOfItsHuggingFaceTwin) {
  for (const char* name : {"mlm_no_dense_relu", "mlm_chunk8_simple_softmax", "mlm_chunk8_rotary_laplace", "mlm_simple_softmax_batchnorm", "mlm_mixed_norm_noaffine"}) {
    const TemporaryFolder folder;
    const auto twin = models::load_head(golden(name));
    if (mega(*twin.model).normalize_before_mega != mega(*twin.model).normalize_before_ffn) continue;  // the original has one setting for both
    checkpoint::write_training_file(folder / "c.pt", as_wrapper(golden(name), mega(*twin.model)), settings_of(mega(*twin.model), "encoder_"));
    const auto loaded = models::load_head(folder / "c.pt");
    EXPECT_EQ(loaded.model->task(), models::Task::masked_lm) << name;
    EXPECT_TRUE(loaded.report.unexpected.empty()) << name;
    EXPECT_TRUE(loaded.report.missing.empty()) << name;
    EXPECT_GT(loaded.renamed.size(), 10U) << name;
    EXPECT_FALSE(mega(*loaded.model).truncation.has_value()) << name;
    for (const int64_t len : {5, 16}) EXPECT_TRUE(at::equal(logits_of(*loaded.model, len), logits_of(*twin.model, len))) << name;
  }
}

/// A causal language model whose original twin has everything that mega_lm has: final norm, scaled embeddings, no dense layer.
std::shared_ptr<models::CausalLm> language_model(const std::vector<std::pair<std::string, ConfigValue>>& overrides = {}) {
  auto config = models::find_architecture("mega").tiny_config();
  config->fields().set("add_lm_hidden_dense_layer", false);
  config->fields().set("final_norm", std::string("affine"));
  config->fields().set("embedding_scale", std::sqrt(static_cast<double>(dynamic_cast<const models::mega::Config&>(*config).hidden_size)));
  for (const auto& item : overrides) config->fields().set(item.first, item.second);
  auto model = tiny_model(*config, at::kFloat);
  const at::NoGradGuard no_grad;
  for (auto& item : model->named_parameters())
    if (item.key() == "head.output.bias") item.value().zero_();
  return model;
}

TEST(Fairseq, ALanguageModelSurvivesTheWayThereAndBack) {
  const std::vector<std::vector<std::pair<std::string, ConfigValue>>> variants = {
      {}, {{"relative_positional_bias", std::string("simple")}}, {{"final_norm", std::string("plain")}, {"normalization_type", std::string("layernorm")}},
      {{"embedding_scale", 1.0}, {"tie_word_embeddings", false}}, {{"final_norm", std::string("none")}, {"normalize_before_mega", false}, {"normalize_before_ffn", false}}};
  for (size_t i = 0; i < variants.size(); ++i) {
    const TemporaryFolder folder;
    const auto model = language_model(variants[i]);
    const auto original = model->config().original_checkpoint(models::Dialect::fairseq, model->task(), models::public_weights(*model));
    EXPECT_TRUE(original.notes.empty()) << i << original.notes.front();
    for (const char* name : {"decoder.embed_tokens.weight", "decoder.output_projection.weight", "decoder.version", "decoder.layers.0.mega_layer.move.delta"})
      EXPECT_TRUE(original.tensors.contains(name)) << name;
    checkpoint::write_training_file(folder / "c.pt", original.tensors, original.settings);
    const auto back = models::load_head(folder / "c.pt");
    EXPECT_EQ(back.model->task(), models::Task::causal_lm);
    EXPECT_TRUE(back.report.unexpected.empty());
    EXPECT_EQ(mega(*back.model).final_norm, mega(*model).final_norm) << i;
    EXPECT_TRUE(at::equal(logits_of(*back.model, 21), logits_of(*model, 21))) << i;
  }
}

TEST(Fairseq, AMaskedLanguageModelSurvivesTheWayThereAndBack) {
  const TemporaryFolder folder;
  const auto model = models::load_head(golden("mlm_chunk8_simple_softmax")).model;
  const auto original = model->config().original_checkpoint(models::Dialect::fairseq, model->task(), models::public_weights(*model));
  checkpoint::write_training_file(folder / "c.pt", original.tensors, original.settings);
  const auto back = models::load_head(folder / "c.pt");
  EXPECT_EQ(back.model->task(), models::Task::masked_lm);
  EXPECT_TRUE(back.report.missing.empty() && back.report.unexpected.empty());
  EXPECT_TRUE(at::equal(logits_of(*back.model, 21), logits_of(*model, 21)));
}

TEST(Fairseq, TheFinalNormAndTheScaleActAndSurviveTheModelDirectory) {
  const TemporaryFolder folder;
  const auto model = language_model();
  const auto plain = language_model({{"final_norm", std::string("none")}, {"embedding_scale", 1.0}});
  EXPECT_FALSE(at::allclose(logits_of(*model, 9), logits_of(*plain, 9), 1e-2, 1e-2));
  models::save_model(folder.path(), *model);
  EXPECT_TRUE(at::equal(logits_of(*models::load_head(folder.path()).model, 9), logits_of(*model, 9)));
  EXPECT_EQ(models::count_parameters(*model), model->config().parameter_count());
  EXPECT_EQ(model->config().unknown_to_public_code().size(), 2U);
}

TEST(Fairseq, ALongRangeArenaEncoderComesWithoutItsClassifier) {
  const TemporaryFolder folder;
  const auto twin = models::load_head(golden("mlm_no_dense_relu"));
  TensorMap tensors;
  for (const auto& [name, tensor] : golden_tensors(golden("mlm_no_dense_relu"))) {
    if (name.starts_with("mlm_head")) continue;
    tensors[name == "mega.embedding_layer.word_embeddings.weight" ? "encoder.encoder.embed_tokens.embed.weight"
                                                                  : original_name(name, "encoder.encoder.layers.")] = tensor;
  }
  tensors["classifier.0.0.weight"] = at::ones({3, 3});
  tensors["sentence_projection_layer.weight"] = at::ones({2, 3});
  checkpoint::write_training_file(folder / "c.pt", tensors, settings_of(mega(*twin.model), "encoder_"));
  const auto loaded = models::load_head(folder / "c.pt");
  EXPECT_EQ(loaded.model->task(), models::Task::embedding);
  EXPECT_EQ(loaded.report.missing, (std::vector<std::string>{"head.pooler.bias", "head.pooler.weight"}));
  EXPECT_NE(std::find(loaded.report.ignored.begin(), loaded.report.ignored.end(), "classifier.0.0.weight"), loaded.report.ignored.end());
  const at::NoGradGuard no_grad;
  const auto tokens = some_tokens(*twin.model, 12);
  EXPECT_TRUE(at::equal(loaded.model->model().forward({.tokens = tokens}).hidden, twin.model->model().forward({.tokens = tokens}).hidden));
}

std::string refusal(const TensorMap& tensors, const Settings& settings) {
  const TemporaryFolder folder;
  checkpoint::write_training_file(folder / "c.pt", tensors, settings);
  try {
    static_cast<void>(models::load_head(folder / "c.pt"));
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Fairseq, WhatHasNoPlaceIsRefusedByName) {
  const auto twin = models::load_head(golden("mlm_no_dense_relu"));
  const TensorMap sound = as_wrapper(golden("mlm_no_dense_relu"), mega(*twin.model));
  const Settings settings = settings_of(mega(*twin.model), "encoder_");
  const auto with = [&](const std::string& name) {
    TensorMap more = sound;
    more[name] = at::ones({2});
    return refusal(more, settings);
  };
  EXPECT_EQ(refusal(sound, settings), "accepted");
  EXPECT_NE(with("mega.embed_norm.norm.weight").find("normalize_embedding"), std::string::npos);
  EXPECT_NE(with("decoder.adaptive_softmax.head.word_proj.weight").find("adaptive softmax"), std::string::npos);
  EXPECT_NE(with("mega.encoders.0.cross_attn.k_proj.weight").find("an encoder-decoder model"), std::string::npos);
  EXPECT_NE(refusal(sound, {}).find("args or cfg.model"), std::string::npos);
  EXPECT_NE(refusal({{"encoder.layers.0.weight", at::ones({2})}}, settings).find("an original release known here"), std::string::npos);
  TensorMap hostile = sound;
  hostile["mega.encoders.0.mega_layer.gamma"] = at::ones({});
  EXPECT_NE(refusal(hostile, settings).find("2 dimensions"), std::string::npos);
  hostile = sound;
  hostile.erase("mega.encoders.0.mega_layer.v_proj.weight");
  EXPECT_NE(refusal(hostile, settings).find("mega_layer.v_proj.weight"), std::string::npos);
  Settings other = settings;
  other["attention_activation_fn"] = std::string("cosine");
  EXPECT_NE(refusal(sound, other).find("attention_activation"), std::string::npos);
}

TEST(Fairseq, WhatTheOriginalWouldComputeOtherwiseIsNotWritten) {
  const auto refused = [](const std::vector<std::pair<std::string, ConfigValue>>& overrides) {
    const auto model = language_model(overrides);
    EXPECT_THROW(static_cast<void>(model->config().original_checkpoint(models::Dialect::fairseq, model->task(), models::public_weights(*model))), Unsupported) << overrides.front().first;
  };
  refused({{"rmsnorm_weight_only", true}, {"normalization_type", std::string("rmsnorm")}});
  refused({{"add_token_type_embeddings", true}});
  refused({{"embedding_scale", 3.0}});
  refused({{"normalize_before_mega", false}});
}

}  // namespace
}  // namespace everlong::testing
