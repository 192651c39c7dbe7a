// What the head of a sequence classifier can be made of.

#include "everlong/models/heads/sequence_classifier.h"

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/models/model_directory.h"
#include "everlong/models/registry.h"
#include "everlong/tensor/torch.h"
#include "tests/support/files.h"

namespace everlong::models {
namespace {

constexpr double kExact = 1e-12;

std::shared_ptr<TaskHead> make_classifier(const ClassifierConfig& shape, const std::string& architecture = "mega") {
  auto config = find_architecture(architecture).tiny_config();
  if (architecture == "mega") config->fields().set_all("is_decoder=false bidirectional=true");
  at::manual_seed(1);
  auto head = make_head(*config, Task::sequence_classification, {.num_labels = 3, .classifier = shape});
  head->to(at::kDouble);
  head->model().set_compute_dtype(at::kDouble);
  const at::NoGradGuard no_grad;
  for (auto& item : head->named_parameters()) item.value().add_(at::randn_like(item.value()), 0.3);
  head->eval();
  return head;
}

at::Tensor logits_of(TaskHead& head, const ModelInput& input) {
  const at::NoGradGuard no_grad;
  return head.outputs(input).at(0).tensor;
}

at::Tensor parameter(const TaskHead& head, const std::string& name) { return head.named_parameters()[name]; }

/// The classifier's last two layers on one vector a row.
at::Tensor classified(const TaskHead& head, const at::Tensor& x, bool gelu) {
  const at::Tensor inner = at::linear(x, parameter(head, "head.dense.weight"), parameter(head, "head.dense.bias"));
  if (gelu) return at::linear(at::gelu(inner), parameter(head, "head.output.weight"));
  return at::linear(at::tanh(inner), parameter(head, "head.output.weight"), parameter(head, "head.output.bias"));
}

double difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

at::Tensor tokens_of(int64_t rows, int64_t len) {
  at::manual_seed(2);
  return at::randint(3, 37, {rows, len}, at::kLong);
}

TEST(SequenceClassifier, ReadsTheFirstTokenOrTheMeanOfAll) {
  const at::NoGradGuard no_grad;
  const at::Tensor tokens = tokens_of(2, 11);
  for (const ClassifierPooling pooling : {ClassifierPooling::first, ClassifierPooling::mean}) {
    const auto head = make_classifier({.pooling = pooling});
    const at::Tensor hidden = head->model().forward({.tokens = tokens}).hidden;
    const at::Tensor one = pooling == ClassifierPooling::first ? hidden.select(1, 0) : hidden.mean(1);
    EXPECT_LT(difference(logits_of(*head, {.tokens = tokens}), classified(*head, one, false)), kExact);
  }
}

TEST(SequenceClassifier, TheMeanLeavesPaddingOut) {
  const auto head = make_classifier({.pooling = ClassifierPooling::mean});
  const at::Tensor tokens = tokens_of(2, 12);
  at::Tensor valid = at::ones({2, 12}, at::kBool);
  valid[1].narrow(0, 5, 7).fill_(false);
  const at::Tensor together = logits_of(*head, {.tokens = tokens, .valid = valid});
  const at::Tensor alone = logits_of(*head, {.tokens = tokens.narrow(0, 1, 1).narrow(1, 0, 5)});
  EXPECT_LT(difference(together[1], alone[0]), kExact);
  EXPECT_GT(difference(together[1], logits_of(*head, {.tokens = tokens})[1]), 1e-3);
}

TEST(SequenceClassifier, TheFormOfMegasAuthorsIsWiderAndEndsWithoutABias) {
  const at::NoGradGuard no_grad;
  const auto head = make_classifier({.pooling = ClassifierPooling::mean, .activation = ClassifierActivation::gelu, .hidden_size = 40});
  EXPECT_EQ(parameter(*head, "head.dense.weight").sizes(), at::IntArrayRef({40, 20}));
  EXPECT_EQ(head->named_parameters().find("head.output.bias"), nullptr);
  const at::Tensor tokens = tokens_of(2, 9);
  const at::Tensor hidden = head->model().forward({.tokens = tokens}).hidden;
  EXPECT_LT(difference(logits_of(*head, {.tokens = tokens}), classified(*head, hidden.mean(1), true)), kExact);
}

TEST(SequenceClassifier, SeparatePairsStandSideBySideTheSecondFirst) {
  const at::NoGradGuard no_grad;
  const auto head = make_classifier({.pooling = ClassifierPooling::mean, .pairs = ClassifierPairs::separate});
  const at::Tensor tokens = tokens_of(4, 9);
  const at::Tensor hidden = head->model().forward({.tokens = tokens}).hidden.mean(1);
  const at::Tensor sides = at::stack({at::cat({hidden[1], hidden[0]}), at::cat({hidden[3], hidden[2]})});
  EXPECT_LT(difference(logits_of(*head, {.tokens = tokens}), classified(*head, sides, false)), kExact);
  EXPECT_THROW((void)logits_of(*head, {.tokens = tokens.narrow(0, 0, 3)}), InvalidArgument);
}

TEST(SequenceClassifier, PixelsAreEmbeddedAsNumbers) {
  const at::NoGradGuard no_grad;
  const auto head = make_classifier({.pooling = ClassifierPooling::mean, .pixel_std = 0.24, .pixel_mean = 0.48});
  const at::Tensor pixels = at::tensor(std::vector<int64_t>{0, 255, 51, 102}, at::kLong).view({1, 4});
  const at::Tensor values = (pixels.to(at::kDouble) / 255 - 0.48) / 0.24;
  EXPECT_NEAR(values[0][0].item<double>(), -2, kExact);
  const at::Tensor embedded = values.unsqueeze(-1) * parameter(*head, "head.pixels.weight").squeeze(1) + parameter(*head, "head.pixels.bias");
  const at::Tensor hidden = head->model().forward({.tokens = {}, .embeddings = embedded}).hidden;
  EXPECT_LT(difference(logits_of(*head, {.tokens = pixels}), classified(*head, hidden.mean(1), false)), kExact);
  EXPECT_THROW((void)logits_of(*head, {.tokens = pixels + 1}), InvalidArgument);
  EXPECT_THROW((void)logits_of(*head, {.tokens = pixels - 1}), InvalidArgument);
}

TEST(SequenceClassifier, IsSavedAndLoadedAsItWasMade) {
  const testing::TemporaryFolder folder;
  const ClassifierConfig shape{.pooling = ClassifierPooling::mean,
                               .activation = ClassifierActivation::gelu,
                               .hidden_size = 24,
                               .pairs = ClassifierPairs::separate,
                               .pixel_std = 0.3,
                               .pixel_mean = 0.1};
  const auto head = make_classifier(shape);
  head->to(at::kFloat);
  head->model().set_compute_dtype(at::kFloat);
  save_model(folder.path(), *head);
  const auto loaded = load_head(folder.path());
  EXPECT_TRUE(loaded.notes.empty()) << loaded.notes.front();
  EXPECT_EQ(loaded.model->task_config().classifier, shape);
  const at::Tensor pixels = tokens_of(2, 9);
  EXPECT_TRUE(at::equal(logits_of(*loaded.model, {.tokens = pixels}), logits_of(*head, {.tokens = pixels})));
  EXPECT_EQ(loaded.model->task_config().unknown_to_public_code().size(), 6u);
}

TEST(SequenceClassifier, ThePublicFormHasNoKeysOfItsOwn) {
  const auto head = make_classifier({});
  const auto keys = public_config(*head).keys();
  for (const std::string& key : keys) EXPECT_FALSE(key.starts_with("classifier_") && key != "classifier_dropout") << key;
  EXPECT_FALSE(keys.contains("pixel_mean") || keys.contains("pixel_std"));
  EXPECT_TRUE(head->task_config().unknown_to_public_code().empty());
}

}  // namespace
}  // namespace everlong::models
