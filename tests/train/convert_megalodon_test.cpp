// Megalodon's models in the dialects of the release and of its ports, there and back.

#include "everlong/train/convert_model.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/base/sha256.h"
#include "everlong/checkpoint/tensor_file.h"
#include "everlong/checkpoint/torch_tensors.h"
#include "everlong/checkpoint/training_file.h"
#include "everlong/models/model_directory.h"
#include "everlong/tensor/torch.h"
#include "tests/support/files.h"
#include "tests/support/torch/models.h"

namespace everlong::train {
namespace {

namespace fs = std::filesystem;
using checkpoint::TensorMap;
using Shapes = std::map<std::string, std::vector<int64_t>>;

const std::vector<std::string> kVariants = {"share_emb=false", "swiglu=false rescale_nffn=false num_heads=1 rope_base=100000",
                                            "scale_emb=true share_emb=true num_layers=1", "norm_affine=false cema_ndim=3",
                                            "num_heads=2 z_dim=20 output_size=11 pad_token_id=0 bos_token_id=1 eos_token_id=2"};

/// Folders of small models with random weights.
class ConvertMegalodon : public ::testing::Test {
 protected:
  /// A model directory. What megalodon-hf does not store is as it computes it if `for_hf`.
  [[nodiscard]] fs::path saved(const std::string& settings, bool for_hf = false) {
    const fs::path folder = folder_ / fmt::format("model-{}", ++count_);
    fs::create_directories(folder);
    const auto config = models::find_architecture("megalodon").tiny_config();
    config->fields().set_all(settings);
    models::save_model(folder, *testing::tiny_model(*config, at::kFloat));
    if (!for_hf) return folder;
    TensorMap tensors = weights_of(folder);
    const bool affine = config_of(folder)["norm_affine"];
    for (auto& [name, tensor] : tensors) {
      if (name.ends_with("nffn.alpha")) tensor = at::full_like(tensor, name.starts_with("layers.0.") ? 0.1 : 0.05);
      if (!affine && (name.find("timenorm") != std::string::npos || name.find("final_norm") != std::string::npos)) tensor.zero_();
    }
    checkpoint::save_tensors(folder / "model.safetensors", tensors);
    return folder;
  }
  [[nodiscard]] fs::path converted(const fs::path& source, Dialect dialect) {
    const fs::path target = folder_ / fmt::format("out-{}{}", ++count_, dialect == Dialect::megalodon_jax ? ".safetensors" : "");
    last_ = convert_model(source, target, {.dialect = dialect});
    EXPECT_TRUE(last_.missing.empty() && last_.unexpected.empty()) << source;
    return target;
  }
  static nlohmann::json config_of(const fs::path& folder) { return nlohmann::json::parse(testing::read_text(folder / "config.json")); }
  static TensorMap weights_of(const fs::path& path) { return checkpoint::load_weights(path).tensors; }
  static Shapes shapes_of(const TensorMap& tensors) {
    Shapes shapes;
    for (const auto& [name, tensor] : tensors) shapes[name] = tensor.sizes().vec();
    return shapes;
  }
  /// Loads the folder `like` with other tensors or settings.
  models::LoadedHead load_changed(const fs::path& like, const std::function<void(TensorMap&)>& change,
                                  const std::function<void(nlohmann::json&)>& change_config = {}) {
    const fs::path folder = folder_ / fmt::format("changed-{}", ++count_);
    fs::create_directories(folder);
    nlohmann::json config = config_of(like);
    if (change_config) change_config(config);
    testing::write_text(folder / "config.json", config.dump());
    TensorMap tensors = weights_of(like);
    change(tensors);
    checkpoint::save_tensors(folder / "model.safetensors", tensors);
    return models::load_head(folder);
  }

  testing::TemporaryFolder folder_;
  ConvertReport last_;
  int count_ = 0;
};

/// 1 + w and back costs a rounding of numbers near 1; everything else is moved, not computed.
void expect_same(const TensorMap& before, const TensorMap& after, bool through_hf, const std::string& what) {
  ASSERT_EQ(before.size(), after.size()) << what;
  for (const auto& [name, tensor] : before) {
    ASSERT_TRUE(after.contains(name)) << what << ": " << name;
    const at::Tensor& other = after.at(name);
    const double allowed = through_hf && name.ends_with("nffn.norm.weight") ? 2.4e-7 : 0;
    EXPECT_EQ(other.scalar_type(), tensor.scalar_type()) << what << ": " << name;
    ASSERT_EQ(other.sizes(), tensor.sizes()) << what << ": " << name;
    EXPECT_LE((other.to(at::kDouble) - tensor.to(at::kDouble)).abs().max().item<double>(), allowed) << what << ": " << name;
  }
}

TEST_F(ConvertMegalodon, EveryTensorAndKeyComesBackFromTheRelease) {
  for (const std::string& settings : kVariants) {
    const fs::path model = saved(settings), back = converted(converted(model, Dialect::consolidated), Dialect::hf);
    expect_same(weights_of(model), weights_of(back), false, settings);
    auto before = config_of(model), after = config_of(back);
    for (const char* key : {"pad_token_id", "bos_token_id", "eos_token_id"}) before.erase(key), after.erase(key);  // of the tokenizer there
    EXPECT_EQ(before, after) << settings;
  }
}

TEST_F(ConvertMegalodon, EveryTensorAndKeyComesBackFromMegalodonJax) {
  for (const std::string& settings : kVariants) {
    const fs::path model = saved(settings), back = converted(converted(model, Dialect::megalodon_jax), Dialect::hf);
    expect_same(weights_of(model), weights_of(back), false, settings);
    EXPECT_EQ(config_of(model), config_of(back)) << settings;
  }
  const fs::path window = saved("attention_window=5");
  EXPECT_EQ(config_of(converted(converted(window, Dialect::megalodon_jax), Dialect::hf))["attention_window"], 5);
}

TEST_F(ConvertMegalodon, EveryTensorAndKeyComesBackFromMegalodonHf) {
  for (const std::string& settings : kVariants) {
    const bool narrow = settings.find("output_size") != std::string::npos;
    const fs::path model = saved(narrow ? settings : settings + " share_emb=true", true), port = converted(model, Dialect::megalodon_hf);
    const fs::path back = converted(port, Dialect::hf);
    expect_same(weights_of(model), weights_of(back), true, settings);
    auto before = config_of(model), after = config_of(back);
    after.erase("torch_dtype");
    if (before["rope_base"].is_null()) {
      EXPECT_TRUE(after["rope_base"].is_null()) << settings;
    }
    EXPECT_EQ(before, after) << settings;
    EXPECT_FALSE(last_.notes.empty()) << "its norm computes other numbers";
  }
}

/// tiny_config() with one block, under the names of the release.
const Shapes kRelease = {{"embed.weight", {37, 20}},
                         {"rope.freqs", {3}},
                         {"layers.0.mega.timenorm.weight", {20}},
                         {"layers.0.mega.timenorm.bias", {20}},
                         {"layers.0.mega.timenorm.prior_count", {}},
                         {"layers.0.mega.timenorm.prior_mean", {4}},
                         {"layers.0.mega.timenorm.prior_logv", {4}},
                         {"layers.0.mega.cema.alpha", {20, 4, 1}},
                         {"layers.0.mega.cema.delta", {20, 4, 1}},
                         {"layers.0.mega.cema.theta", {20, 1, 1}},
                         {"layers.0.mega.cema.gamma", {20, 4, 2}},
                         {"layers.0.mega.cema.omega", {20, 1}},
                         {"layers.0.mega.rmsnorm.weight", {20}},
                         {"layers.0.mega.wz.weight", {12, 20}},
                         {"layers.0.mega.wz.bias", {12}},
                         {"layers.0.mega.wv.weight", {28, 20}},
                         {"layers.0.mega.wv.bias", {28}},
                         {"layers.0.mega.wr.weight", {28, 20}},
                         {"layers.0.mega.wr.bias", {28}},
                         {"layers.0.mega.wh1.weight", {20, 20}},
                         {"layers.0.mega.wh1.bias", {20}},
                         {"layers.0.mega.wh2.weight", {20, 28}},
                         {"layers.0.mega.gamma", {2, 12}},
                         {"layers.0.mega.beta", {2, 12}},
                         {"layers.0.nffn.norm.weight", {20}},
                         {"layers.0.nffn.norm.bias", {20}},
                         {"layers.0.nffn.fc1.weight", {24, 20}},
                         {"layers.0.nffn.fc2.weight", {20, 24}},
                         {"layers.0.nffn.fc3.weight", {24, 20}},
                         {"layers.0.nffn.alpha", {20}},
                         {"output.final_norm.weight", {20}},
                         {"output.final_norm.bias", {20}},
                         {"output.final_norm.prior_count", {}},
                         {"output.final_norm.prior_mean", {4}},
                         {"output.final_norm.prior_logv", {4}},
                         {"output.output.weight", {37, 20}}};

TEST_F(ConvertMegalodon, TheReleasesFolderHoldsWhatItsModulesAndItsConfigurationHave) {
  const fs::path model = saved("num_layers=1 share_emb=true pad_token_id=0");
  testing::write_text(model / "tokenizer.model", "sentences");
  const fs::path folder = converted(model, Dialect::consolidated);
  const TensorMap tensors = checkpoint::load_tensors(folder / "consolidated.pth").tensors;
  EXPECT_EQ(shapes_of(tensors), kRelease);
  EXPECT_TRUE(at::equal(tensors.at("output.output.weight"), tensors.at("embed.weight")));
  EXPECT_EQ(tensors.at("output.final_norm.prior_count").scalar_type(), at::kLong);
  const auto config = config_of(folder);
  std::set<std::string> keys;
  for (const auto& item : config["model"].items()) keys.insert(item.key());
  EXPECT_EQ(keys, (std::set<std::string>{"num_layers",        "model_dim",   "z_dim",          "value_dim", "num_heads",  "ffn_hidden_dim",
                                         "cema_ndim",         "chunk_size",  "efficient_attn", "init_mode", "vocab_size", "output_size",
                                         "norm_num_groups",   "norm_affine", "norm_eps",       "rope_base", "dropout",    "hidden_dropout",
                                         "attention_dropout", "swiglu",      "rescale_nffn",   "scale_emb", "share_emb",  "layerwise_ckpt"}));
  EXPECT_EQ(config["tokenizer"], nlohmann::json::parse(R"({"path": "tokenizer.model", "additional_vocab_size": 0, "data_tokenized": false})"));
  EXPECT_EQ(nlohmann::json::parse(testing::read_text(folder / "consolidate_config.json")),
            nlohmann::json::parse(R"({"model_parallel_size": 1, "dtype": "fp32"})"));
}

TEST_F(ConvertMegalodon, HalfPrecisionForTheReleaseKeepsTheRotaryFrequencies) {
  const fs::path model = saved("num_layers=1");
  static_cast<void>(convert_model(model, folder_ / "half", {.dtype = at::kBFloat16, .dialect = Dialect::consolidated}));
  const TensorMap tensors = checkpoint::load_tensors(folder_ / "half/consolidated.pth").tensors;
  EXPECT_EQ(tensors.at("layers.0.mega.wz.weight").scalar_type(), at::kBFloat16);
  EXPECT_TRUE(at::equal(tensors.at("rope.freqs"), weights_of(model).at("rope.freqs")));
  EXPECT_EQ(nlohmann::json::parse(testing::read_text(folder_ / "half/consolidate_config.json"))["dtype"], "bf16");
}

/// The release's list with the names of the ports, written down a second time.
Shapes port_shapes(bool hf) {
  Shapes shapes = {{"model.embed.weight", {37, 20}}, {"model.norm.weight", {20}}, {"model.norm.bias", {20}}};
  if (!hf) shapes["lm_head.weight"] = {37, 20};
  const Shapes attention = {{"timenorm.weight", {20}},
                            {"timenorm.bias", {20}},
                            {"cema.alpha", {20, 4, 1}},
                            {"cema.delta", {20, 4, 1}},
                            {"cema.theta", {20, 1, 1}},
                            {"cema.gamma_real", {20, 4}},
                            {"cema.gamma_imag", {20, 4}},
                            {"cema.omega", {20}},
                            {"rmsnorm.gamma", {20}},
                            {"wz.weight", {12, 20}},
                            {"wz.bias", {12}},
                            {"wv.weight", {28, 20}},
                            {"wv.bias", {28}},
                            {"wr.weight", {28, 20}},
                            {"wr.bias", {28}},
                            {"wh1.weight", {20, 20}},
                            {"wh1.bias", {20}},
                            {"wh2.weight", {20, 28}},
                            {"gamma", {2, 12}},
                            {"beta", {2, 12}}};
  for (const auto& [name, shape] : attention) shapes["model.layers.0.attn." + name] = shape;
  const Shapes ffn = {{"norm.weight", {20}}, {"norm.bias", {20}}, {"fc1.weight", {24, 20}}, {"fc2.weight", {20, 24}}, {"fc3.weight", {24, 20}}};
  for (const auto& [name, shape] : ffn) shapes["model.layers.0.ffn." + name] = shape;
  if (!hf) shapes["model.layers.0.ffn.alpha"] = {20};
  const Shapes biases = {{"attn.wh2.bias", {20}}, {"ffn.fc1.bias", {24}}, {"ffn.fc2.bias", {20}}, {"ffn.fc3.bias", {24}}};
  for (const auto& [name, shape] : biases)
    if (hf) shapes["model.layers.0." + name] = shape;
  return shapes;
}

TEST_F(ConvertMegalodon, MegalodonHfGetsItsNamesAndItsStorage) {
  const fs::path model = saved("num_layers=1 share_emb=true", true), port = converted(model, Dialect::megalodon_hf);
  const TensorMap theirs = weights_of(port), ours = weights_of(model);
  EXPECT_EQ(shapes_of(theirs), port_shapes(true));
  const auto attention = [&](const std::string& name) { return theirs.at("model.layers.0.attn." + name); };
  for (int64_t head = 0; head < 2; ++head)
    for (int64_t j = 0; j < 3; ++j)
      for (const auto& [row, from] : {std::pair(j, 2 * j), std::pair(j + 3, 2 * j + 1)}) {
        const int64_t to = 6 * head + row, source = 6 * head + from;
        EXPECT_TRUE(at::equal(attention("wz.weight")[to], ours.at("layers.0.mega.wz.weight")[source])) << to;
        EXPECT_TRUE(at::equal(attention("wz.bias")[to], ours.at("layers.0.mega.wz.bias")[source])) << to;
        for (const std::string name : {"gamma", "beta"})
          EXPECT_TRUE(at::equal(attention(name).select(1, to), ours.at("layers.0.mega." + name).select(1, source))) << name << to;
      }
  EXPECT_TRUE(at::equal(attention("cema.gamma_imag"), ours.at("layers.0.mega.cema.gamma").select(-1, 1)));
  EXPECT_TRUE(at::equal(theirs.at("model.layers.0.ffn.norm.weight"), ours.at("layers.0.nffn.norm.weight") + 1));
  EXPECT_TRUE(at::equal(attention("rmsnorm.gamma"), ours.at("layers.0.mega.rmsnorm.weight")));
  EXPECT_EQ(theirs.at("model.layers.0.ffn.fc1.bias").count_nonzero().item<int64_t>(), 0);
  const auto config = config_of(port);
  EXPECT_FALSE(config.contains("layerwise_ckpt")) << "its configuration refuses the key";
  EXPECT_EQ(config["architectures"], nlohmann::json({"MegalodonForCausalLM"}));
  EXPECT_TRUE(config["tie_word_embeddings"]);
  const fs::path narrow = converted(saved("output_size=11", true), Dialect::megalodon_hf);
  EXPECT_FALSE(config_of(narrow)["tie_word_embeddings"]) << "transformers would tie matrices of unlike sizes";
}

TEST_F(ConvertMegalodon, MegalodonHfMayStandInBinFilesAndShardsOrWithoutItsHead) {
  const fs::path model = saved("share_emb=true", true), port = folder_ / "port";
  static_cast<void>(
      convert_model(model, port, {.dialect = Dialect::megalodon_hf, .format = checkpoint::WeightFormat::torch, .max_shard_bytes = 8000}));
  EXPECT_TRUE(fs::exists(port / "pytorch_model.bin.index.json"));
  expect_same(weights_of(model), weights_of(converted(port, Dialect::hf)), true, "shards");
  const auto bare = load_changed(converted(model, Dialect::megalodon_hf), [](TensorMap& tensors) {
    TensorMap without;
    for (const auto& [name, tensor] : tensors) without[name.substr(std::string("model.").size())] = tensor;
    tensors = without;
  });
  EXPECT_TRUE(bare.report.missing.empty() && bare.report.unexpected.empty());
  expect_same(weights_of(model), models::public_weights(*bare.model), true, "bare");
}

TEST_F(ConvertMegalodon, AnOldConfigurationOfMegalodonHfHasItsDefaults) {
  const fs::path port = converted(saved("share_emb=true", true), Dialect::megalodon_hf);
  const auto loaded = load_changed(
      port, [](TensorMap&) {},
      [](nlohmann::json& config) {
        config["share_emb"] = false;  // it ties all the same
        for (const char* key : {"pad_token_id", "bos_token_id", "eos_token_id"}) config.erase(key);
      });
  const models::SpecialTokens tokens = loaded.model->config().special_tokens();
  EXPECT_EQ((std::array{tokens.pad, tokens.bos, tokens.eos}), (std::array<int64_t, 3>{0, 1, 2}));
  EXPECT_TRUE(loaded.model->config().lm_head().tied);
}

TEST_F(ConvertMegalodon, MegalodonJaxGetsItsNamesAndWhatItsReaderChecks) {
  const fs::path port = converted(saved("num_layers=1 rope_base=100000 dropout=0.25 bos_token_id=1"), Dialect::megalodon_jax);
  const checkpoint::TrainingFile file = checkpoint::read_training_file(port);
  EXPECT_EQ(shapes_of(file.tensors), port_shapes(false));
  const std::string config =
      R"({"accum_dtype":"float32","attention_dropout":0.0,"attention_dropout_mode":"post_softmax","attention_softmax_dtype":"float32",)"
      R"("attention_window":null,"bos_token_id":1,"cema_ndim":4,"chunk_size":8,"compute_dtype":"float32","dropout":0.25,"eos_token_id":null,)"
      R"("ffn_hidden_dim":24,"hidden_dropout":0.0,"init_mode":"he","model_dim":20,"norm_affine":true,"norm_eps":1e-05,"norm_num_groups":4,)"
      R"("num_heads":2,"num_layers":1,"output_size":-1,"pad_token_id":null,"param_dtype":"float32","rescale_nffn":true,"rope_base":100000.0,)"
      R"("scale_emb":false,"share_emb":false,"swiglu":true,"use_associative_segment_scan":true,"use_checkpoint":false,"value_dim":28,)"
      R"("vocab_size":37,"z_dim":12})";
  EXPECT_EQ(file.metadata.at("config_json"), config);
  EXPECT_EQ(file.metadata.at("config_fingerprint"), sha256_hex(config));
  EXPECT_EQ(file.metadata.at("parameter_manifest_sha256"), "22229c6ae8f4b74476c8f2632b38107cd85ad2426b736f4a6f9418d3a14a3025");
  EXPECT_EQ(file.metadata.at("tying"), "untied");
  EXPECT_EQ(file.metadata.at("format_version"), "3");
}

template <class Error>
std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was refused";
}

TEST_F(ConvertMegalodon, WhatOtherCodeWouldComputeOtherwiseIsNotWritten) {
  struct Case {
    std::string settings, says;
    std::vector<Dialect> dialects;
  };
  const std::vector<Dialect> all = {Dialect::consolidated, Dialect::megalodon_hf, Dialect::megalodon_jax};
  const std::vector<Case> cases = {{"share_emb=true tsn_policy=capped norm_count_cap=9", "tsn_policy = capped", all},
                                   {"share_emb=true attention_window=5", "attention_window", {Dialect::consolidated, Dialect::megalodon_hf}},
                                   {"share_emb=false", "share_emb = false", {Dialect::megalodon_hf}},
                                   {"share_emb=true", "layers.0.nffn.alpha that was trained", {Dialect::megalodon_hf}},
                                   {"share_emb=true rescale_nffn=false norm_affine=false", "timenorm", {Dialect::megalodon_hf}}};
  for (const Case& entry : cases) {
    const fs::path model = saved(entry.settings);
    for (const Dialect dialect : entry.dialects)
      EXPECT_NE(message_of<Unsupported>([&] { static_cast<void>(converted(model, dialect)); }).find(entry.says), std::string::npos) << entry.settings;
  }
  const auto mega = models::find_architecture("mega").tiny_config();
  models::save_model(folder_.path(), *testing::tiny_model(*mega, at::kFloat));
  EXPECT_NE(message_of<Unsupported>([&] { static_cast<void>(converted(folder_.path(), Dialect::consolidated)); }).find("convert to consolidated"),
            std::string::npos);
  EXPECT_NE(message_of<Unsupported>([&] { static_cast<void>(converted(saved(""), Dialect::fairseq)); }).find("convert to fairseq"),
            std::string::npos);
  EXPECT_THROW(static_cast<void>(convert_model(saved(""), folder_ / "jax", {.dialect = Dialect::megalodon_jax})), InvalidArgument);
}

TEST_F(ConvertMegalodon, AModelForOtherTasksAndDoubleWeightsAreNotWrittenForTheRelease) {
  const auto config = models::find_architecture("megalodon").tiny_config();
  config->fields().set_all("causal=false");
  fs::create_directories(folder_ / "masked");
  models::save_model(folder_ / "masked", *models::make_head(*config, models::Task::masked_lm, {}));
  EXPECT_THROW(static_cast<void>(converted(folder_ / "masked", Dialect::consolidated)), Unsupported);
  const auto causal = models::find_architecture("megalodon").tiny_config();
  fs::create_directories(folder_ / "double");
  models::save_model(folder_ / "double", *testing::tiny_model(*causal, at::kDouble));
  EXPECT_NE(message_of<Unsupported>([&] { static_cast<void>(converted(folder_ / "double", Dialect::consolidated)); }).find("--dtype f32"),
            std::string::npos);
}

TEST_F(ConvertMegalodon, BiasesThatMegalodonHasNotAreRefusedByName) {
  const fs::path port = converted(saved("share_emb=true", true), Dialect::megalodon_hf);
  for (const std::string name : {"attn.wh2.bias", "ffn.fc1.bias", "ffn.fc2.bias", "ffn.fc3.bias"}) {
    const std::string whole = "model.layers.1." + name;
    const auto act = [&] { static_cast<void>(load_changed(port, [&](TensorMap& tensors) { tensors.at(whole)[3] = 1e-3; })); };
    EXPECT_NE(message_of<Unsupported>(act).find(whole), std::string::npos) << name;
  }
  EXPECT_EQ(load_changed(port, [](TensorMap&) {}).report.ignored.size(), 8u);
}

TEST_F(ConvertMegalodon, TensorsOfOtherShapesOrMissingHalvesAreRefusedByName) {
  const fs::path port = converted(saved("share_emb=true", true), Dialect::megalodon_hf);
  const std::string layer = "model.layers.1.attn.";
  const auto refused = [&](const std::string& name, const at::Tensor& tensor) {
    return message_of<FormatError>([&] {
      static_cast<void>(load_changed(port, [&](TensorMap& tensors) {
        if (tensor.defined())
          tensors[layer + name] = tensor;
        else
          tensors.erase(layer + name);
      }));
    });
  };
  for (const std::string name : {"wz.weight", "wz.bias", "gamma", "cema.omega", "cema.gamma_real", "cema.gamma_imag"}) {
    EXPECT_NE(refused(name, at::zeros({13, 7})).find(layer + name), std::string::npos) << name;
    EXPECT_NE(refused(name, at::scalar_tensor(1)).find(layer + name), std::string::npos) << name;
  }
  EXPECT_NE(refused("cema.gamma_imag", {}).find("gamma_real"), std::string::npos);
  EXPECT_NE(refused("wv.bias", {}).find("value_proj"), std::string::npos);
}

TEST_F(ConvertMegalodon, FilesOfMegalodonJaxWithOtherConventionsOrWithoutSettingsAreRefused) {
  const fs::path port = converted(saved(""), Dialect::megalodon_jax);
  const checkpoint::TrainingFile file = checkpoint::read_training_file(port);
  const auto refused = [&](const std::string& key, const std::string& value) {
    checkpoint::Metadata metadata = file.metadata;
    metadata[key] = value;
    if (value.empty()) metadata.erase(key);
    checkpoint::save_tensors(folder_ / "other.safetensors", file.tensors, metadata);
    return message_of<Error>([&] { static_cast<void>(models::load_head(folder_ / "other.safetensors")); });
  };
  EXPECT_NE(refused("rope_layout", "half_split").find("adjacent_pair"), std::string::npos);
  EXPECT_NE(refused("normalization_storage", "plain").find("plus_one"), std::string::npos);
  EXPECT_NE(refused("config_json", "").find("config_json"), std::string::npos);
  EXPECT_NE(refused("config_json", "{\"vocab_size\": 37,").find("config_json"), std::string::npos);
  EXPECT_NE(refused("config_json", "{\"vocab_size\": \"many\"}").find("vocab_size"), std::string::npos);
  EXPECT_EQ(refused("format_version", "4"), "nothing was refused");
}

TEST_F(ConvertMegalodon, WeightsOfAModelDirectoryByThemselvesAreNotGuessedAt) {
  const fs::path model = saved(""), port = converted(saved("share_emb=true", true), Dialect::megalodon_hf);
  EXPECT_NE(message_of<Unsupported>([&] { static_cast<void>(models::load_head(model / "model.safetensors")); }).find("config.json"),
            std::string::npos);
  EXPECT_NE(message_of<FormatError>([&] { static_cast<void>(models::load_head(port / "model.safetensors")); }).find("config.json"),
            std::string::npos);
}

}  // namespace
}  // namespace everlong::train
