#include "everlong/train/convert_model.h"

#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/checkpoint/tensor_file.h"
#include "everlong/models/model_directory.h"
#include "everlong/tensor/torch.h"
#include "everlong/train/run_directory.h"
#include "tests/support/files.h"
#include "tests/support/torch/models.h"

namespace everlong::train {
namespace {

namespace fs = std::filesystem;

/// A model directory "model" with random weights in fp32.
class ConvertModel : public ::testing::Test {
 protected:
  ConvertModel() { save_model(source()); }

  [[nodiscard]] fs::path source() const { return folder_ / "model"; }
  static void save_model(const fs::path& folder, at::ScalarType dtype = at::kFloat) {
    fs::create_directories(folder);
    const auto config = models::find_architecture("mega").tiny_config();
    models::save_model(folder, *testing::tiny_model(*config, dtype));
  }
  static nlohmann::json config_of(const fs::path& folder) { return nlohmann::json::parse(testing::read_text(folder / "config.json")); }
  static checkpoint::TensorMap weights_of(const fs::path& folder) { return checkpoint::load_weights(folder).tensors; }
  void rewrite_weights(const std::function<void(checkpoint::TensorMap&)>& change) const {
    auto tensors = weights_of(source());
    change(tensors);
    checkpoint::save_tensors(source() / "model.safetensors", tensors);
  }

  testing::TemporaryFolder folder_;
};

TEST_F(ConvertModel, EveryTensorArrivesUnchangedUnderItsPublicName) {
  const ConvertReport report = convert_model(source(), folder_ / "new/out");
  const auto before = weights_of(source()), after = weights_of(folder_ / "new/out");
  ASSERT_EQ(after.size(), before.size());
  for (const auto& [name, tensor] : before) {
    EXPECT_EQ(after.at(name).scalar_type(), at::kFloat) << name;
    EXPECT_TRUE(at::equal(after.at(name), tensor)) << name;
  }
  EXPECT_EQ(report.source, source());
  EXPECT_EQ(report.num_tensors, std::ssize(after));
  EXPECT_EQ(report.size_bytes, static_cast<int64_t>(fs::file_size(folder_ / "new/out/model.safetensors")));
  EXPECT_TRUE(report.unexpected.empty());
  EXPECT_EQ(report.parameter_count, models::load_causal_lm(source()).model->config().parameter_count());
}

TEST_F(ConvertModel, ADtypeThatIsAskedForHoldsForEveryTensorAndIsSaidInTheConfiguration) {
  static_cast<void>(convert_model(source(), folder_ / "out", {.dtype = at::kBFloat16}));
  for (const auto& [name, tensor] : weights_of(folder_ / "out"))
    if (tensor.is_floating_point()) {
      EXPECT_EQ(tensor.scalar_type(), at::kBFloat16) << name;
    }
  EXPECT_EQ(config_of(folder_ / "out")["torch_dtype"], "bfloat16");
}

TEST_F(ConvertModel, DoubleWeightsAreNotRoundedOnTheWay) {
  save_model(folder_ / "double", at::kDouble);
  static_cast<void>(convert_model(folder_ / "double", folder_ / "out"));
  const auto before = weights_of(folder_ / "double"), after = weights_of(folder_ / "out");
  for (const auto& [name, tensor] : before) EXPECT_TRUE(at::equal(after.at(name), tensor)) << name;
}

TEST_F(ConvertModel, WhatIsNotKnownIsReportedAndKeysAreKept) {
  auto config = config_of(source());
  config["task_specific_params"] = {{"note", "kept"}};
  testing::write_text(source() / "config.json", config.dump());
  rewrite_weights([](checkpoint::TensorMap& tensors) { tensors["stranger"] = at::ones({1}); });
  testing::write_text(source() / "tokenizer.json", "{}");
  testing::write_text(source() / "README.md", "not copied");
  const ConvertReport report = convert_model(source(), folder_ / "out");
  EXPECT_EQ(report.unexpected, std::vector<std::string>{"stranger"});
  EXPECT_EQ(report.kept_keys, std::vector<std::string>{"task_specific_params"});
  EXPECT_EQ(report.copied, std::vector<std::string>{"tokenizer.json"});
  EXPECT_EQ(config_of(folder_ / "out")["task_specific_params"]["note"], "kept");
  EXPECT_FALSE(weights_of(folder_ / "out").contains("stranger"));
  EXPECT_FALSE(fs::exists(folder_ / "out/README.md"));
}

TEST_F(ConvertModel, NamesWithoutTheirPrefixAreReportedAsRenamed) {
  const std::string prefix(models::load_causal_lm(source()).model->config().base_prefix());
  std::string bare;
  rewrite_weights([&](checkpoint::TensorMap& tensors) {
    const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const auto& item) { return item.first.starts_with(prefix); });
    ASSERT_NE(found, tensors.end());
    bare = found->first.substr(prefix.size());
    auto node = tensors.extract(found);
    node.key() = bare;
    tensors.insert(std::move(node));
  });
  const ConvertReport report = convert_model(source(), folder_ / "out");
  EXPECT_EQ(report.renamed, (std::vector<std::pair<std::string, std::string>>{{bare, prefix + bare}}));
  EXPECT_TRUE(weights_of(folder_ / "out").contains(prefix + bare));
}

TEST_F(ConvertModel, ARunStandsForItsBestCheckpoint) {
  const RunDirectory run(folder_ / "run");
  save_model(run.checkpoint(10)), save_model(run.checkpoint(20));
  EXPECT_EQ(convert_model(run.path(), folder_ / "latest").source, run.checkpoint(20));
  run.set_best(10);
  EXPECT_EQ(convert_model(run.path(), folder_ / "best").source, run.checkpoint(10));
}

TEST_F(ConvertModel, AFolderWithFilesAndAFileAreNotTouched) {
  fs::create_directory(folder_ / "empty");
  static_cast<void>(convert_model(source(), folder_ / "empty"));
  testing::write_text(folder_ / "file", "mine");
  fs::create_directory(folder_ / "taken");
  testing::write_text(folder_ / "taken/note", "mine");
  EXPECT_THROW(static_cast<void>(convert_model(source(), folder_ / "file")), StateError);
  EXPECT_THROW(static_cast<void>(convert_model(source(), folder_ / "taken")), StateError);
  EXPECT_EQ(testing::read_text(folder_ / "file"), "mine");
  EXPECT_FALSE(fs::exists(folder_ / "taken/config.json"));
}

TEST_F(ConvertModel, NothingIsLeftOfAModelThatCannotBeRead) {
  rewrite_weights([](checkpoint::TensorMap& tensors) { tensors.erase(std::prev(tensors.end())); });
  EXPECT_THROW(static_cast<void>(convert_model(source(), folder_ / "out")), FormatError);
  EXPECT_THROW(static_cast<void>(convert_model(folder_ / "nothing", folder_ / "out")), IoError);
  EXPECT_FALSE(fs::exists(folder_ / "out"));
}

}  // namespace
}  // namespace everlong::train
