// The plan of a run counts the parameters that the run then has.

#include "everlong/train/plan.h"

#include "everlong/data/lra/idx_images.h"
#include "everlong/models/model.h"
#include "everlong/tensor/torch.h"
#include "tests/train/task_support.h"

namespace everlong::train {
namespace {

using testing_support::operator+;

class Plan : public testing_support::TaskRuns {
 protected:
  void SetUp() override {
    TaskRuns::SetUp();
    write("text.txt", "the sea is calm tonight and so am I, and so is the moon above the sea.\n");
    write("reviews.tsv", "sentence\tlabel\nit is good\tyes\nit is bad\tno\nwho knows\tmaybe\n");
    write("pairs.tsv", "text1\ttext2\tlabel\na\tb\tyes\nc\td\tno\n");
    write("words.jsonl", "{\"tokens\": [\"Anna\", \"sees\", \"Rome\"], \"tags\": [\"PER\", \"O\", \"LOC\"]}\n");
    write("choices.jsonl", "{\"context\": \"a\", \"choices\": [\"b\", \"c\"], \"label\": 0}\n");
    write("answers.jsonl", "{\"question\": \"who?\", \"context\": \"it was Anna\", \"answers\": {\"text\": [\"Anna\"], \"answer_start\": [7]}}\n");
    data::IdxWriter images(folder_ / "x", 2, 2, 2);
    for (uint8_t label = 0; label < 2; ++label) images.add(std::vector<uint8_t>{1, 2, 3, label}, label);
    images.commit();
  }

  void expect_counted(const std::string& task, const std::string& file, const Overrides& more = {}) {
    SCOPED_TRACE(task + " " + (more.empty() ? "" : more[0]));
    const Overrides overrides = Overrides{"train.task=" + task, "train.steps=1", "data.batch_size=1", "data.train=" + path(file)} + more;
    TrainConfig config = read_train_config(folder_ / "run.toml", overrides);
    const TrainPlan plan = plan_training(config);
    const std::string run = "run" + std::to_string(++runs_);
    EXPECT_EQ(plan.parameters, models::count_parameters(start(run, overrides)->model()));
    EXPECT_GT(plan.activation_bytes, 0);
  }

  int runs_ = 0;
};

TEST_F(Plan, CountsTheHeadOfEachTask) {
  expect_counted("masked-lm", "text.txt");
  expect_counted("token-classification", "words.jsonl");
  expect_counted("multiple-choice", "choices.jsonl");
  expect_counted("question-answering", "answers.jsonl");
  expect_counted("sequence-classification", "reviews.tsv");
  expect_counted("sequence-classification", "reviews.tsv", {"data.tokenizer=bytes"});
  expect_counted("sequence-classification", "reviews.tsv", {"train.classifier_activation=gelu", "train.classifier_hidden_size=50"});
  expect_counted("sequence-classification", "pairs.tsv",
                 {"train.classifier_pairs=separate", "data.text_column=text1", "data.text_b_column=text2", "data.label_column=label"});
  expect_counted("sequence-classification", "x-images-idx3-ubyte");
  expect_counted("causal-lm", "text.txt", {"model.is_decoder=true", "model.bidirectional=false", "data.seq_len=8"});
}

TEST_F(Plan, CountsTheModelThatTheRunStartsFrom) {
  const auto first = train("first", {"train.task=masked-lm", "train.steps=1", "data.train=" + path("text.txt")});
  expect_counted("sequence-classification", "reviews.tsv", {"model.init=" + path("first"), "data.tokenizer=bpe"});
}

}  // namespace
}  // namespace everlong::train
