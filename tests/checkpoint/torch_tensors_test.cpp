#include "everlong/checkpoint/torch_tensors.h"

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/checkpoint/training_file.h"
#include "everlong/io/safetensors.h"
#include "everlong/io/weight_map.h"
#include "everlong/tensor/torch.h"
#include "tests/support/files.h"

namespace everlong::checkpoint {
namespace {

using testing::source_path;
using testing::TemporaryFolder;
using testing::write_text;

std::filesystem::path sample(const std::string& name) { return source_path("tests/data/torch_files/" + name); }

void expect_equal(const TensorMap& left, const TensorMap& right) {
  ASSERT_EQ(left.size(), right.size());
  for (const auto& [name, tensor] : left) {
    ASSERT_TRUE(right.contains(name)) << name;
    EXPECT_EQ(tensor.scalar_type(), right.at(name).scalar_type()) << name;
    EXPECT_TRUE(at::equal(tensor, right.at(name))) << name;
  }
}

TEST(TorchTensors, ACheckpointOfTransformersLoadsLikeItsSafetensorsTwin) {
  const TensorFile loaded = load_weights(source_path("tests/golden/mega/mlm_pickle_bin"));
  EXPECT_EQ(loaded.path, source_path("tests/golden/mega/mlm_pickle_bin/pytorch_model.bin"));
  EXPECT_TRUE(loaded.skipped.empty());
  expect_equal(loaded.tensors, load_tensors(sample("mlm_pickle_bin.safetensors")).tensors);
  EXPECT_EQ(loaded.tensors.at("mlm_head.weight").const_data_ptr(), loaded.tensors.at("mega.embedding_layer.word_embeddings.weight").const_data_ptr());
}

TEST(TorchTensors, ViewsAreReadAsTheyWere) {
  for (const char* name : {"views.pt", "protocol_4.pt"}) {
    const TensorMap tensors = load_tensors(sample(name)).tensors;
    const at::Tensor whole = at::arange(24, at::kFloat).view({4, 6});
    EXPECT_TRUE(at::equal(tensors.at("whole"), whole));
    EXPECT_TRUE(at::equal(tensors.at("turned"), whole.t()));
    EXPECT_TRUE(at::equal(tensors.at("part"), whole.slice(0, 1, 3).slice(1, 0, 6, 2)));
    EXPECT_EQ(tensors.at("scalar").item<float>(), 7);
    EXPECT_EQ(tensors.at("empty").sizes(), (at::IntArrayRef{0, 4}));
  }
}

TEST(TorchTensors, TheStateDictIsFoundUnderModelStateDictOrAtTheTop) {
  EXPECT_EQ(find_state_dict(io::TorchFile::open(sample("fairseq.pt"))).key, "model");
  EXPECT_EQ(find_state_dict(io::TorchFile::open(sample("lightning.ckpt"))).key, "state_dict");
  EXPECT_EQ(find_state_dict(io::TorchFile::open(sample("legacy.pt"))).key, "model");
  EXPECT_EQ(find_state_dict(io::TorchFile::open(sample("dtypes.pt"))).key, "");
  EXPECT_EQ(load_tensors(sample("protocol_4.pt")).skipped, std::vector<std::string>{"values"});
  expect_equal(load_tensors(sample("fairseq.pt")).tensors, load_tensors(sample("lightning.ckpt")).tensors);
  EXPECT_EQ(load_tensors(sample("fairseq.pt")).tensors.at("1.num_batches_tracked").scalar_type(), at::kLong);
  EXPECT_THROW(static_cast<void>(load_tensors(sample("values.pt"))), FormatError);
  EXPECT_THROW(static_cast<void>(load_tensors(sample("os_system.pt"))), FormatError);
}

TEST(TorchTensors, WhatIsWrittenIsReadBackAndTiedTensorsAreWrittenOnce) {
  const TemporaryFolder folder;
  TensorMap tensors = load_tensors(sample("dtypes.pt")).tensors;
  tensors["turned"] = at::arange(6, at::kFloat).view({2, 3}).t();
  tensors["tied"] = tensors.at("f32");
  tensors["nothing"] = at::empty({0, 2});
  io::TorchDict beside;
  beside.items.push_back({.key = {std::string("epoch")}, .value = {int64_t{3}}});
  for (const char* key : {"", "model"}) {
    save_torch_tensors(folder / "f.pt", tensors, {.key = key, .beside = beside});
    const auto file = io::TorchFile::open(folder / "f.pt");
    expect_equal(read_state_dict(file).tensors, tensors);
    EXPECT_EQ(find_state_dict(file).key, key);
    EXPECT_EQ(file.storages().size(), tensors.size() - 1);
    EXPECT_EQ(*file.value().find("epoch")->get_if<int64_t>(), 3);
  }
  EXPECT_THROW(save_torch_tensors(folder / "f.pt", tensors, {.key = "epoch", .beside = beside}), InvalidArgument);
  EXPECT_THROW(save_torch_tensors(folder / "g.pt", {{"z", at::zeros({2}, at::kComplexFloat)}}), InvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(folder / "g.pt"));
}

TEST(TorchTensors, ShardsAreHeldAgainstTheirIndex) {
  const TemporaryFolder folder;
  const TensorMap a{{"a", at::ones({2})}}, b{{"b", at::zeros({3})}};
  save_torch_tensors(folder / "pytorch_model-00001-of-00002.bin", a);
  save_torch_tensors(folder / "pytorch_model-00002-of-00002.bin", b);
  const io::WeightMap right{{"a", "pytorch_model-00001-of-00002.bin"}, {"b", "pytorch_model-00002-of-00002.bin"}};
  const auto index = folder / "pytorch_model.bin.index.json";
  io::write_weight_map(index, right, 20);
  expect_equal(load_weights(folder.path()).tensors, {{"a", at::ones({2})}, {"b", at::zeros({3})}});
  EXPECT_EQ(load_weights(folder.path()).path, index);
  io::write_weight_map(index, {{"a", "pytorch_model-00001-of-00002.bin"}, {"c", "pytorch_model-00002-of-00002.bin"}}, 20);
  EXPECT_THROW(static_cast<void>(load_weights(folder.path())), FormatError);
  io::write_weight_map(index, {{"a", "pytorch_model-00002-of-00002.bin"}, {"b", "pytorch_model-00002-of-00002.bin"}}, 20);
  EXPECT_THROW(static_cast<void>(load_weights(folder.path())), FormatError);
  write_text(index, R"({"weight_map": {"a": "../x.bin"}})");
  EXPECT_THROW(static_cast<void>(load_weights(folder.path())), FormatError);
}

TEST(SaveWeights, ShardsHoldAtMostThatManyBytesAndAreReadBack) {
  const TemporaryFolder folder;
  const TensorMap tensors{{"a", at::rand({100})}, {"b", at::rand({10})}, {"c", at::rand({10})}, {"d", at::rand({30})}, {"e", at::rand({20})}};
  const auto files = save_weights(folder.path(), tensors, {.max_shard_bytes = 200, .metadata = {{"format", "pt"}}});
  EXPECT_EQ(files, (std::vector<std::string>{"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                                             "model-00003-of-00003.safetensors", "model.safetensors.index.json"}));
  EXPECT_EQ(io::read_weight_map(folder / files.back(), ".safetensors").at("d"), "model-00002-of-00003.safetensors");
  EXPECT_NE(testing::read_text(folder / files.back()).find("\"total_size\": 680"), std::string::npos);
  EXPECT_EQ(io::SafetensorsFile::open(folder / files[0]).metadata().at("format"), "pt");
  expect_equal(load_weights(folder.path()).tensors, tensors);
}

TEST(SaveWeights, WeightsOfTheOtherFormDoNotStay) {
  const TemporaryFolder folder;
  const auto names = [&] {
    std::set<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) found.insert(entry.path().filename().string());
    return found;
  };
  const TensorMap old{{"a", at::zeros({4})}, {"b", at::zeros({4})}}, now{{"a", at::ones({4})}, {"b", at::ones({4})}};
  EXPECT_EQ(save_weights(folder.path(), old), std::vector<std::string>{"model.safetensors"});
  EXPECT_EQ(save_weights(folder.path(), now, {.max_shard_bytes = 16}).size(), 3U);
  expect_equal(load_weights(folder.path()).tensors, now);
  EXPECT_EQ(names(), (std::set<std::string>{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"}));
  EXPECT_EQ(save_weights(folder.path(), old, {.max_shard_bytes = 1000}), std::vector<std::string>{"model.safetensors"});
  expect_equal(load_weights(folder.path()).tensors, old);
  EXPECT_EQ(names(), std::set<std::string>{"model.safetensors"});
  EXPECT_THROW(static_cast<void>(save_weights(folder.path(), old, {.max_shard_bytes = -1})), InvalidArgument);

  const auto shards = save_weights(folder.path(), now, {.format = WeightFormat::torch, .max_shard_bytes = 16});
  EXPECT_EQ(shards, (std::vector<std::string>{"pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin", "pytorch_model.bin.index.json"}));
  EXPECT_EQ(names(), std::set<std::string>(shards.begin(), shards.end()));
  expect_equal(load_weights(folder.path()).tensors, now);
  EXPECT_EQ(save_weights(folder.path(), old, {.format = WeightFormat::torch}), std::vector<std::string>{"pytorch_model.bin"});
  EXPECT_EQ(names(), std::set<std::string>{"pytorch_model.bin"});
  expect_equal(load_weights(folder.path()).tensors, old);
  static_cast<void>(save_weights(folder.path(), now));
  EXPECT_EQ(names(), std::set<std::string>{"model.safetensors"});
}

TEST(TrainingFiles, SettingsAreFoundInArgsAndInCfg) {
  const TemporaryFolder folder;
  const Settings settings{{"arch", std::string("mega_lm")}, {"decoder_layers", int64_t{2}}, {"dropout", 0.25}, {"truncation_length", std::monostate()},
                          {"normalize_before", true}};
  const TensorMap tensors{{"decoder.version", at::ones({1})}};
  write_training_file(folder / "c.pt", tensors, settings);
  EXPECT_TRUE(is_training_file(folder / "c.pt"));
  EXPECT_FALSE(is_training_file(folder.path()));
  EXPECT_EQ(read_training_file(folder / "c.pt").settings, settings);
  expect_equal(read_training_file(folder / "c.pt").tensors, tensors);

  io::TorchDict model, cfg, top;
  model.items.push_back({.key = {std::string("decoder_layers")}, .value = {int64_t{3}}});
  model.items.push_back({.key = {std::string("list")}, .value = {io::TorchSequence{}}});
  cfg.items.push_back({.key = {std::string("model")}, .value = {model}});
  top.items.push_back({.key = {std::string("args")}, .value = {}});
  top.items.push_back({.key = {std::string("cfg")}, .value = {cfg}});
  save_torch_tensors(folder / "c.pt", tensors, {.key = "model", .beside = top});
  EXPECT_EQ(read_training_file(folder / "c.pt").settings, (Settings{{"decoder_layers", int64_t{3}}}));
  EXPECT_TRUE(read_training_file(sample("lightning.ckpt")).settings.empty());
  EXPECT_EQ(read_training_file(sample("fairseq.pt")).settings.at("encoder_layers"), ConfigValue(int64_t{2}));
}

TEST(TrainingFiles, SettingsOfASafetensorsFileStandInItsMetadata) {
  const TemporaryFolder folder;
  const TensorMap tensors{{"w", at::ones({2})}};
  const std::string text = R"({"a":-3,"b":1e-05,"c":null,"d":true,"e":"x","f":[1],"g":{"h":1}})";
  save_tensors(folder / "c.safetensors", tensors, {{"config_json", text}, {"format", "other"}});
  EXPECT_TRUE(is_training_file(folder / "c.safetensors"));
  const TrainingFile read = read_training_file(folder / "c.safetensors");
  EXPECT_EQ(read.settings, (Settings{{"a", int64_t{-3}}, {"b", 1e-5}, {"c", std::monostate()}, {"d", true}, {"e", std::string("x")}}));
  EXPECT_EQ(read.metadata.at("format"), "other");
  expect_equal(read.tensors, tensors);
  save_tensors(folder / "c.safetensors", tensors, {{"config_json", "{\"a\": }"}});
  EXPECT_THROW(static_cast<void>(read_training_file(folder / "c.safetensors")), FormatError);
}

TEST(TrainingFiles, SettingsAreSpeltAsPythonSpellsThem) {
  const Settings numbers{{"b", 1e-5}, {"a", 100000.0}, {"c", 1e16}, {"d", 0.1}, {"e", 0.0}, {"f", int64_t{7}}};
  EXPECT_EQ(settings_text(numbers), R"({"a":100000.0,"b":1e-05,"c":1e+16,"d":0.1,"e":0.0,"f":7})");
  const Settings others{{"a", false}, {"b", std::monostate()}, {"c", std::string("\"\u00e4\n")}, {"d", std::vector<std::string>{"x", "y"}}};
  EXPECT_EQ(settings_text(others), R"({"a":false,"b":null,"c":"\"\u00e4\n","d":["x","y"]})");
  EXPECT_EQ(settings_text({}), "{}");
}

}  // namespace
}  // namespace everlong::checkpoint
