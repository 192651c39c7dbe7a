// Runs of tasks: stopping and resuming, starting from another model, the best checkpoint, what is refused.

#include <map>

#include "everlong/base/error.h"
#include "everlong/checkpoint/load_module.h"
#include "everlong/models/model_directory.h"
#include "everlong/tensor/torch.h"
#include "tests/train/task_support.h"

namespace everlong::train {
namespace {

namespace fs = std::filesystem;
using testing_support::operator+;

std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files[fs::relative(entry.path(), folder).string()] = testing::read_text(entry.path());
  return files;
}

class TaskTraining : public testing_support::TaskRuns {
 protected:
  void SetUp() override {
    TaskRuns::SetUp();
    std::string text, reviews = "sentence\tlabel\n", choices;
    for (int i = 0; i < 20; ++i) {
      text += "line " + std::to_string(i * i) + " says that the sea is calm.\n";
      reviews += "number " + std::to_string(i) + (i % 3 == 0 ? " is good\tyes\n" : " is bad\tno\n");
      choices += R"({"context": "say )" + std::to_string(i) + R"(", "choices": ["yes it is", "no"], "label": )" + std::to_string(i % 2) + "}\n";
    }
    write("text.txt", text);
    write("reviews.tsv", reviews);
    write("choices.jsonl", choices);
  }
  Overrides masked() const {
    return {"train.task=masked-lm", "train.steps=6", "data.batch_size=2", "data.max_len=24", "data.train=" + path("text.txt")};
  }
  Overrides classes() const {
    return {"train.task=sequence-classification", "train.steps=6", "data.train=" + path("reviews.tsv"), "data.eval=" + path("reviews.tsv")};
  }

  void expect_stopping_changes_nothing(const Overrides& overrides) {
    train("whole", overrides);
    const auto expected = contents(checkpoint("whole", 6));
    int calls = 0;
    EXPECT_EQ(start("stopped", overrides)->run([&] { return ++calls == 2; }), TrainOutcome::interrupted);
    calls = 0;
    EXPECT_EQ(start("stopped", overrides, true)->run([&] { return ++calls == 3; }), TrainOutcome::interrupted);
    EXPECT_EQ(start("stopped", overrides, true)->run({}), TrainOutcome::finished);
    EXPECT_EQ(contents(checkpoint("stopped", 6)), expected);
    EXPECT_TRUE(expected.contains("trainer.safetensors"));
  }

  static checkpoint::TensorMap weights_of(const fs::path& folder) {
    checkpoint::TensorMap copy;
    const auto loaded = models::load_head(folder);
    for (const auto& [name, tensor] : checkpoint::own_tensors(*loaded.model)) copy.emplace(name, tensor.clone());
    return copy;
  }
};

const std::vector<std::string> kEverything = {"model.dropout_prob=0.2", "model.hidden_dropout_prob=0.1", "train.average_decay=0.9",
                                              "train.accumulate=2", "train.activation_checkpointing=true"};

TEST_F(TaskTraining, StoppingChangesNothingOfAMaskedLanguageModel) { expect_stopping_changes_nothing(masked() + kEverything); }
TEST_F(TaskTraining, StoppingChangesNothingOfAClassifier) {
  expect_stopping_changes_nothing(classes() + kEverything + Overrides{"train.eval_every=2", "train.dtype=bf16", "data.pad_to_multiple=16"});
}

TEST_F(TaskTraining, TheSavedModelNamesItsClassesAndHasTheScoresOfTheRun) {
  const auto found = train("run", classes());
  const auto folder = checkpoint("run", 6);
  const auto loaded = models::load_head(folder);
  EXPECT_EQ(loaded.model->task(), models::Task::sequence_classification);
  EXPECT_EQ(loaded.model->task_config().label_names, (std::vector<std::string>{"no", "yes"}));
  EXPECT_TRUE(loaded.notes.empty());
  const auto tokenizer = text::load_tokenizer(folder);
  const auto roles = sequence_roles(*tokenizer, loaded.model->config());
  const auto examples = read_task_examples(path("reviews.tsv"), *tokenizer, roles, data::LabelMap({"no", "yes"}), {});
  const auto again =
      score_predictions(examples, predict(*loaded.model, examples, data::Task::classification, roles), data::Task::classification, *tokenizer);
  EXPECT_NEAR(again.score("loss"), found.score("loss"), 1e-5);
  EXPECT_EQ(again.score("accuracy"), found.score("accuracy"));
}

TEST_F(TaskTraining, PhasesCarryTheModelBelowTheHeadOver) {
  train("first", masked());
  const Overrides still = {"optim.lr=0", "train.steps=1"};
  train("second", Overrides{"train.task=multiple-choice", "data.train=" + path("choices.jsonl"), "model.init=" + path("first")} + still);
  train("third", masked() + Overrides{"model.init=" + path("second")} + still);
  const auto first = weights_of(checkpoint("first", 6)), second = weights_of(checkpoint("second", 1)), third = weights_of(checkpoint("third", 1));
  int64_t compared = 0;
  for (const auto& [name, tensor] : first) {
    if (!name.starts_with("model.")) continue;
    EXPECT_TRUE(at::equal(tensor, second.at(name))) << name;
    EXPECT_TRUE(at::equal(tensor, third.at(name))) << name;
    ++compared;
  }
  EXPECT_GT(compared, 20);
  EXPECT_TRUE(second.contains("head.pooler.weight"));
  EXPECT_FALSE(at::equal(first.at("head.dense.weight"), third.at("head.dense.weight")));  // phases do not keep each other's heads
}

TEST_F(TaskTraining, AModelWithOtherClassesStartsItsHeadAfresh) {
  train("first", classes());
  write("three.tsv", "sentence\tlabel\na b\tx\nc d\ty\ne f\tz\ng h\tx\ni j\ty\nk l\tz\nm n\tx\no p\ty\n");
  std::vector<std::string> messages;
  const Overrides overrides = {"train.task=sequence-classification", "train.steps=1", "data.train=" + path("three.tsv"),
                               "model.init=" + path("first")};
  Trainer trainer(read_train_config(folder_ / "run.toml", overrides), RunDirectory(folder_ / "second"), false,
                  {.on_message = [&](std::string_view text) { messages.emplace_back(text); }});
  trainer.run({});
  ASSERT_FALSE(messages.empty());
  EXPECT_NE(messages.front().find("freshly initialised: head.dense"), std::string::npos) << messages.front();
  EXPECT_EQ(models::load_head(checkpoint("second", 1)).model->task_config().num_labels, 3);
}

TEST_F(TaskTraining, ATokenizerWithoutSpecialTokensGetsIdsBehindItsOwn) {
  train("run", classes() + Overrides{"data.tokenizer=bytes"});
  const auto loaded = models::load_config(checkpoint("run", 6));
  EXPECT_EQ(loaded.config->vocabulary(), 259);
  EXPECT_EQ(loaded.config->special_tokens().bos, 257);
}

TEST_F(TaskTraining, TheBestCheckpointIsThatOfTheNamedScore) {
  std::string opposite = "sentence\tlabel\n";  // what is learned makes the loss on these worse
  for (int i = 0; i < 20; ++i) opposite += "number " + std::to_string(i) + (i % 3 == 0 ? " is good\tno\n" : " is bad\tyes\n");
  write("opposite.tsv", opposite);
  std::map<double, int64_t> step_of_loss;
  const auto overrides = classes() + Overrides{"data.eval=" + path("opposite.tsv"),
                                               "train.metric=loss",
                                               "train.checkpoint_every=2",
                                               "train.eval_every=2",
                                               "train.keep_last=1",
                                               "optim.lr=0.01",
                                               "optim.schedule=constant",
                                               "optim.warmup_steps=0"};
  const auto note_loss = [&](std::string_view text) {
    if (const auto place = text.find("loss "); place != std::string_view::npos) {
      const auto steps = static_cast<int64_t>(2 * step_of_loss.size() + 2);
      step_of_loss.emplace(std::stod(std::string(text.substr(place + 5))), steps);
    }
  };
  Trainer(read_train_config(folder_ / "run.toml", overrides), RunDirectory(folder_ / "run"), false, {.on_message = note_loss}).run({});
  const RunDirectory run(folder_ / "run");
  ASSERT_EQ(step_of_loss.size(), 3U);
  EXPECT_NE(step_of_loss.begin()->second, 6) << "the last one is kept in any case";
  ASSERT_TRUE(run.best().has_value());
  EXPECT_EQ(*run.best(), step_of_loss.begin()->second);
  EXPECT_EQ(run.checkpoint_steps().back(), 6);
  EXPECT_NE(testing::read_text(run.checkpoint(*run.best()) / "trainer.json").find("best_loss"), std::string::npos);
}

TEST_F(TaskTraining, WhatDoesNotFitIsRefusedByItsKey) {
  const auto complaint = [&](const Overrides& overrides) {
    try {
      start("refused", overrides);
    } catch (const Error& error) {
      fs::remove_all(folder_ / "refused");
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_NE(complaint(classes() + Overrides{"train.metric=bleu"}).find("train.metric"), std::string::npos);
  EXPECT_NE(complaint(masked() + Overrides{"data.tokenizer=bytes"}).find("mask token"), std::string::npos);
  EXPECT_NE(complaint(classes() + Overrides{"data.label_column=none_such"}).find("none_such"), std::string::npos);
  EXPECT_NE(complaint(classes() + Overrides{"model.init=" + path("nowhere")}).find("nowhere"), std::string::npos);
  EXPECT_NE(complaint({"train.task=embedding"}).find("train.task"), std::string::npos);
}

}  // namespace
}  // namespace everlong::train
