// Which tensor wins where a file names a tied matrix twice, once or never, and names of models with and without a head.

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/models/model_directory.h"
#include "everlong/tensor/torch.h"
#include "tests/support/files.h"
#include "tests/support/torch/models.h"

namespace everlong::testing {
namespace {

constexpr const char* kEmbedding = "mega.embedding_layer.word_embeddings.weight";
constexpr const char* kHead = "mlm_head.weight";
constexpr const char* kBias = "mlm_head.bias";

/// A folder with a masked language model whose tensors a test changes.
class TiedWeights : public ::testing::Test {
 protected:
  TiedWeights() {
    auto config = models::find_architecture("mega").tiny_config();
    config->fields().set("is_decoder", false);
    config->fields().set("bidirectional", true);
    at::manual_seed(3);
    model_ = models::make_head(*config, models::Task::masked_lm);
    models::save_model(folder_.path(), *model_);
    tensors_ = checkpoint::load_weights(folder_.path()).tensors;
    tensors_[kBias] = at::rand_like(tensors_[kBias]);
    other_ = at::rand_like(tensors_[kEmbedding]);
  }

  models::LoadedHead load(const models::LoadOptions& options = {}) {
    static_cast<void>(checkpoint::save_weights(folder_.path(), tensors_, {.format = format_}));
    return models::load_head(folder_.path(), options);
  }
  static at::Tensor embedding(const models::LoadedHead& loaded) { return loaded.model->model().embedding_weight(); }
  static bool noted(const models::LoadedHead& loaded, const std::string& text) {
    return std::any_of(loaded.notes.begin(), loaded.notes.end(), [&](const std::string& note) { return note.find(text) != std::string::npos; });
  }

  const TemporaryFolder folder_;
  checkpoint::WeightFormat format_ = checkpoint::WeightFormat::safetensors;
  std::shared_ptr<models::TaskHead> model_;
  checkpoint::TensorMap tensors_;
  at::Tensor other_;
};

TEST_F(TiedWeights, OfTwoNamesTheHeadsWinsInEveryContainer) {
  tensors_[kHead] = other_;
  for (const auto format : {checkpoint::WeightFormat::safetensors, checkpoint::WeightFormat::torch}) {
    format_ = format;
    const auto loaded = load();
    EXPECT_TRUE(at::equal(embedding(loaded), other_));
    EXPECT_TRUE(noted(loaded, "are tied and differ in the file"));
  }
}

TEST_F(TiedWeights, EqualTensorsUnderBothNamesAreNotWorthANote) {
  tensors_[kHead] = tensors_[kEmbedding].clone();
  EXPECT_TRUE(load().notes.empty());
}

TEST_F(TiedWeights, OneNameIsEnough) {
  EXPECT_TRUE(at::equal(embedding(load()), tensors_[kEmbedding]));
  tensors_.erase(kEmbedding);
  tensors_[kHead] = other_;
  EXPECT_TRUE(at::equal(embedding(load()), other_));
}

TEST_F(TiedWeights, NoNameIsAnError) {
  tensors_.erase(kEmbedding);
  try {
    static_cast<void>(load());
    FAIL() << "a model without an embedding was loaded";
  } catch (const FormatError& error) {
    EXPECT_NE(std::string(error.what()).find("model.embedding.weight"), std::string::npos) << error.what();
  }
}

TEST_F(TiedWeights, AMissingBiasIsZeroWithANote) {
  tensors_.erase(kBias);
  const auto loaded = load();
  EXPECT_TRUE(noted(loaded, "the bias of the output layer is not in the file"));
  EXPECT_EQ(checkpoint::own_tensors(*loaded.model).at("head.output.bias").abs().max().item<float>(), 0);
  EXPECT_EQ(loaded.report.missing, std::vector<std::string>{"head.output.bias"});
}

TEST_F(TiedWeights, NamesWithoutThePrefixAreTakenAndAnExtraPoolerIsIgnored) {
  checkpoint::TensorMap bare;
  for (const auto& [name, tensor] : tensors_) bare[name.starts_with("mega.") ? name.substr(5) : name] = tensor;
  bare["pooler.dense.weight"] = at::ones({2, 2});
  const auto expected = checkpoint::own_tensors(*load().model);
  tensors_ = bare;
  const auto loaded = load();
  for (const auto& [name, tensor] : checkpoint::own_tensors(*loaded.model)) EXPECT_TRUE(at::equal(tensor, expected.at(name))) << name;
  EXPECT_EQ(loaded.report.ignored.back(), "pooler.dense.weight");
  EXPECT_NE(std::find(loaded.renamed.begin(), loaded.renamed.end(), models::Renaming("embedding_layer.word_embeddings.weight", kEmbedding)), loaded.renamed.end());
  EXPECT_TRUE(loaded.report.missing.empty());
}

TEST_F(TiedWeights, AnotherTaskTakesTheModelAndStartsItsHeadAfresh) {
  tensors_["mega.pooler.dense.weight"] = at::ones({2, 2});
  const auto loaded = load({.task = models::Task::token_classification});
  EXPECT_TRUE(noted(loaded, "freshly initialised: head.output.weight"));
  EXPECT_EQ(loaded.report.missing, (std::vector<std::string>{"head.output.bias", "head.output.weight"}));
  EXPECT_TRUE(at::equal(embedding(loaded), tensors_[kEmbedding]));
  const auto& ignored = loaded.report.ignored;
  EXPECT_NE(std::find(ignored.begin(), ignored.end(), "mega.pooler.dense.weight"), ignored.end());
}

TEST_F(TiedWeights, ADecoderTakesTheForwardHalfOfAnEncoderAndItsHead) {
  const auto loaded = load({.as_decoder = true});
  EXPECT_EQ(loaded.model->task(), models::Task::causal_lm);
  EXPECT_TRUE(loaded.model->model().capabilities().causal);
  const auto own = checkpoint::own_tensors(*loaded.model);
  const at::Tensor damping = tensors_["mega.layers.0.mega_layer.ema_gate.damping_factor"];
  EXPECT_TRUE(at::equal(own.at("model.layers.0.attention.ema.damping"), damping.narrow(0, 0, damping.size(0) / 2).squeeze(-1)));
  EXPECT_TRUE(at::equal(own.at("head.output.bias"), tensors_[kBias]));
  EXPECT_TRUE(noted(loaded, "forward half"));
  EXPECT_NE(std::find(loaded.renamed.begin(), loaded.renamed.end(), models::Renaming(kBias, "lm_head.bias")), loaded.renamed.end());
}

TEST(SaveModel, TheLabelsOfAClassifierSurviveTheDisk) {
  const TemporaryFolder folder;
  const auto config = models::find_architecture("mega").tiny_config();
  const models::TaskConfig labels{.num_labels = 3, .classifier_dropout = 0.25, .label_names = {"no", "maybe", "yes"}};
  const auto head = models::make_head(*config, models::Task::sequence_classification, labels);
  models::save_model(folder.path(), *head);
  const auto loaded = models::load_head(folder.path());
  EXPECT_EQ(loaded.model->task(), models::Task::sequence_classification);
  EXPECT_EQ(loaded.model->task_config().num_labels, 3);
  EXPECT_EQ(loaded.model->task_config().classifier_dropout, 0.25);
  EXPECT_EQ(loaded.model->task_config().label_names, labels.label_names);
  EXPECT_TRUE(loaded.report.missing.empty());
}

}  // namespace
}  // namespace everlong::testing
