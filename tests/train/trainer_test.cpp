// Training runs of a few steps on a text of a few hundred bytes.

#include "everlong/train/trainer.h"

#include <cmath>
#include <map>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/io/json.h"
#include "everlong/models/model_directory.h"
#include "everlong/tensor/torch.h"
#include "tests/support/files.h"

namespace everlong::train {
namespace {

namespace fs = std::filesystem;
using Overrides = std::vector<std::string>;

constexpr int64_t kSteps = 12;

std::string small_text() {
  std::string text;
  for (int i = 0; i < 24; ++i) text += "line " + std::to_string(i * i) + " says that the sea is calm tonight.\n";
  return text;
}

/// Name and content of every file below a folder.
std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files[fs::relative(entry.path(), folder).string()] = testing::read_text(entry.path());
  return files;
}

void expect_same_files(const fs::path& actual, const fs::path& expected) {
  const auto a = contents(actual), b = contents(expected);
  ASSERT_FALSE(b.empty());
  for (const auto& [name, content] : b) EXPECT_TRUE(a.contains(name) && a.at(name) == content) << name << " differs";
  EXPECT_EQ(a.size(), b.size());
}

class Training : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::write_text(folder_ / "train.txt", small_text());
    testing::write_text(folder_ / "eval.txt", small_text().substr(200, 150));
    testing::write_text(
        folder_ / "config.toml",
        "[model]\narchitecture = \"mega\"\nhidden_size = 16\nnum_hidden_layers = 2\nintermediate_size = 24\nema_projection_size = 4\n"
        "shared_representation_size = 8\nnffn_hidden_size = 24\nbidirectional = false\nis_decoder = true\nuse_chunking = true\nchunk_size = 8\n"
        "dropout_prob = 0\nhidden_dropout_prob = 0\nattention_probs_dropout_prob = 0\nnffn_activation_dropout_prob = 0\n"
        "[data]\ntrain = \"" +
            (folder_ / "train.txt").string() + "\"\neval = \"" + (folder_ / "eval.txt").string() +
            "\"\n"
            "tokenizer = \"bytes\"\nbatch_size = 2\nseq_len = 20\n"
            "[optim]\nlr = 1e-2\nwarmup_steps = 3\n"
            "[train]\nsteps = 12\ndtype = \"f32\"\ncheckpoint_every = 1000\neval_every = 0\nlog_every = 1\n");
  }
  std::unique_ptr<Trainer> start(const std::string& run, const Overrides& overrides, bool resume = false) {
    return std::make_unique<Trainer>(read_train_config(folder_ / "config.toml", overrides), RunDirectory(folder_ / run), resume, TrainerCallbacks{});
  }
  void train(const std::string& run, const Overrides& overrides) { EXPECT_EQ(start(run, overrides)->run({}), TrainOutcome::finished); }

  /// Stops after each of `stops` calls of the stop test, in as many processes as it would take, and then runs to the end.
  void train_with_stops(const std::string& run, const Overrides& overrides, const std::vector<int>& stops) {
    bool resume = false;
    for (const int stop_after : stops) {
      int calls = 0;
      EXPECT_EQ(start(run, overrides, resume)->run([&] { return ++calls == stop_after; }), TrainOutcome::interrupted);
      resume = true;
    }
    EXPECT_EQ(start(run, overrides, resume)->run({}), TrainOutcome::finished);
  }
  fs::path checkpoint(const std::string& run, int64_t step = kSteps) const { return RunDirectory(folder_ / run).checkpoint(step); }

  void expect_stopping_changes_nothing(const Overrides& overrides) {
    train("whole", overrides);
    int number = 0;
    for (const std::vector<int>& stops : {std::vector<int>{1}, {6}, {11}, {2, 3, 5}}) {
      const std::string run = "stopped" + std::to_string(number++);
      train_with_stops(run, overrides, stops);
      expect_same_files(checkpoint(run), checkpoint("whole"));
    }
  }

  testing::TemporaryFolder folder_;
};

const Overrides kDropout = {"model.dropout_prob=0.2", "model.hidden_dropout_prob=0.1", "model.attention_probs_dropout_prob=0.1",
                            "model.nffn_activation_dropout_prob=0.1"};

Overrides operator+(Overrides a, const Overrides& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST_F(Training, StoppingChangesNothingWithLanes) { expect_stopping_changes_nothing({}); }
TEST_F(Training, StoppingChangesNothingWithWindows) { expect_stopping_changes_nothing({"data.order=windows"}); }
TEST_F(Training, StoppingChangesNothingWithAccumulation) { expect_stopping_changes_nothing({"train.accumulate=3"}); }
TEST_F(Training, StoppingChangesNothingWithAveragedWeights) { expect_stopping_changes_nothing({"train.average_decay=0.9"}); }
TEST_F(Training, StoppingChangesNothingWithDropout) { expect_stopping_changes_nothing(kDropout); }
TEST_F(Training, StoppingChangesNothingWithActivationCheckpointing) {
  expect_stopping_changes_nothing(Overrides{"train.activation_checkpointing=true"} + kDropout);
}
TEST_F(Training, StoppingChangesNothingInBf16) { expect_stopping_changes_nothing({"train.dtype=bf16", "data.order=lanes"}); }
TEST_F(Training, StoppingChangesNothingForATransformer) {
  const auto config = testing::read_text(folder_ / "config.toml");
  testing::write_text(
      folder_ / "config.toml",
      "[model]\narchitecture = \"transformer\"\nhidden_size = 16\nintermediate_size = 24\nnum_hidden_layers = 2\nnum_attention_heads = 2\n"
      "pad_token_id = -1\nbos_token_id = -1\neos_token_id = -1\n" +
          config.substr(config.find("[data]")));
  expect_stopping_changes_nothing({});
}
TEST_F(Training, StoppingBetweenAnEvaluationAndACheckpointChangesNothing) {
  // A rate at which the evaluations get worse: the best one may be any of them.
  expect_stopping_changes_nothing({"train.eval_every=2", "train.checkpoint_every=5", "train.keep_last=9", "optim.lr=1", "optim.schedule=constant"});
}

TEST_F(Training, ActivationCheckpointingChangesNoBitOfTheWeights) {
  train("plain", kDropout);
  train("checkpointed", Overrides{"train.activation_checkpointing=true"} + kDropout);
  EXPECT_EQ(testing::read_text(checkpoint("plain") / "model.safetensors"), testing::read_text(checkpoint("checkpointed") / "model.safetensors"));
}

TEST_F(Training, TheSeedAndTheOrderMatter) {
  train("a", {});
  train("b", {"train.seed=2"});
  train("c", {"data.order=windows"});
  const auto weights = [&](const char* run) { return testing::read_text(checkpoint(run) / "model.safetensors"); };
  EXPECT_NE(weights("a"), weights("b"));
  EXPECT_NE(weights("a"), weights("c"));
}

TEST_F(Training, LearnsOneSmallTextByHeart) {
  const auto trainer = start(
      "run", {"train.steps=600", "model.initializer_range=0.2", "optim.weight_decay=0", "optim.lr=2e-2", "data.seq_len=64", "train.log_every=600"});
  const double before = evaluate_file(trainer->causal_lm(), trainer->tokenizer(), folder_ / "eval.txt").nats_per_token();
  trainer->run({});
  ASSERT_EQ(trainer->last_evaluation().texts.size(), 1u);
  const double after = trainer->last_evaluation().texts.front().nats_per_token();
  EXPECT_GT(before, std::log(256.0) - 0.5);
  EXPECT_LT(after, 0.7);
}

TEST_F(Training, TheSavedModelIsTheTrainedOne) {
  const auto trainer = start("run", {"train.average_decay=0.8"});
  trainer->run({});
  const auto loaded = models::load_causal_lm(checkpoint("run"));
  const auto again = evaluate_file(*loaded.model, trainer->tokenizer(), folder_ / "eval.txt");
  EXPECT_EQ(again.nats, trainer->last_evaluation().texts.front().nats);
}

TEST_F(Training, MetricsNameEachStepOnceHoweverOftenTheRunStopped) {
  train_with_stops("run", {"train.eval_every=4"}, {3, 4});
  std::vector<int64_t> trained, evaluated;
  std::istringstream lines(testing::read_text(folder_ / "run/metrics.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    const auto object = io::Json::parse(line);
    if (object["kind"] == "train") trained.push_back(object["step"].get<int64_t>());
    if (object["kind"] == "eval") evaluated.push_back(object["step"].get<int64_t>());
  }
  std::vector<int64_t> all;
  for (int64_t step = 1; step <= kSteps; ++step) all.push_back(step);
  EXPECT_EQ(trained, all);
  EXPECT_EQ(evaluated, (std::vector<int64_t>{4, 8, 12}));
}

TEST_F(Training, ADivergingRunThrowsAndLeavesTheLastCheckpoint) {
  int calls = 0;
  EXPECT_EQ(start("run", {})->run([&] { return ++calls == 5; }), TrainOutcome::interrupted);
  const auto before = contents(checkpoint("run", 5));
  try {
    start("run", {"optim.lr=1e30", "train.steps=40", "train.eval_every=0"}, true)->run({});
    FAIL() << "a run with a learning rate of 1e30 finished";
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("finite"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("optim.lr"), std::string::npos) << error.what();
  }
  EXPECT_EQ(contents(checkpoint("run", 5)), before);
  EXPECT_EQ(RunDirectory(folder_ / "run").checkpoint_steps(), std::vector<int64_t>{5});
}

TEST_F(Training, ASecondStartIsRefusedAndSoIsResumingNothing) {
  const auto run = start("run", {});
  EXPECT_THROW(start("run", {}), StateError);
  EXPECT_THROW(start("none", {}, true), StateError);
  testing::write_text(folder_ / "config.toml", testing::read_text(folder_ / "config.toml") + "\n");
  EXPECT_NO_THROW(start("run", {}, true));
}

TEST_F(Training, ACheckpointOfAnotherModelIsRefused) {
  train("run", {});
  EXPECT_THROW(start("run", {"model.nffn_hidden_size=32"}, true), FormatError);
  EXPECT_THROW(start("run", {"data.seq_len=10"}, true), StateError);
  EXPECT_THROW(start("run", {"train.average_decay=0.5"}, true), FormatError);
}

TEST_F(Training, TheBestAndTheNewestCheckpointsStay) {
  train("run", {"train.checkpoint_every=2", "train.eval_every=2", "train.keep_last=1"});
  const RunDirectory run(folder_ / "run");
  ASSERT_TRUE(run.best().has_value());
  const auto steps = run.checkpoint_steps();
  EXPECT_EQ(steps.back(), kSteps);
  EXPECT_EQ(steps.size(), *run.best() == kSteps ? 1u : 2u);
  EXPECT_EQ(testing::read_text(folder_ / "run/latest"), "step-12\n");
}

}  // namespace
}  // namespace everlong::train
