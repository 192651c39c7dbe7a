#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "everlong/base/error.h"
#include "everlong/report/metrics.h"
#include "everlong/report/report.h"
#include "tests/support/files.h"
#include "tests/support/message.h"

namespace everlong::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

class LoadRun : public ::testing::Test {
 protected:
  report::Run load(std::string_view metrics, std::string_view config = "steps = 10\n") {
    std::filesystem::create_directories(folder_ / "first");
    everlong::testing::write_text(folder_ / "first/config.toml", config);
    everlong::testing::write_text(folder_ / "first/metrics.jsonl", metrics);
    return load_run(folder_ / "first");
  }

  template <class E = FormatError>
  std::string message(std::string_view metrics) {
    return everlong::testing::message_of<E>([&] { (void)load(metrics); });
  }

  everlong::testing::TemporaryFolder folder_;
};

TEST_F(LoadRun, ReadsEveryKindOfLine) {
  const report::Run run = load(
      R"({"kind":"reference","name":"xz -9e","file":"p.txt","bits_per_byte":2.47}
{"kind":"train","step":10,"tokens":40960,"loss":2.31,"bits_per_byte":2.9,"lr":0.004,"grad_norm":0.8,"tokens_per_s":9800,"resident_mb":812.4}
{"kind":"eval","step":400,"file":"p.txt","context":"carry","tokens":150000,"bytes":466854,"nats_per_token":3.2,"perplexity":24.5,)"
      R"("bits_per_byte":1.71,"by_position":[{"begin":0,"end":256,"tokens":256,"nats_per_token":3.9}]}

{"kind":"sample","step":400,"prompt":"She","text":" had"}
{"kind":"note","text":"resumed at step 100"}
)");
  EXPECT_EQ(run.name, "first");
  ASSERT_EQ(run.train.size(), 1u);
  const TrainPoint& point = run.train[0];
  EXPECT_EQ(point.step, 10);
  EXPECT_EQ(point.tokens, 40960);
  EXPECT_EQ(point.loss, 2.31);
  EXPECT_EQ(point.bits_per_byte, 2.9);
  EXPECT_EQ(point.learning_rate, 0.004);
  EXPECT_EQ(point.grad_norm, 0.8);
  EXPECT_EQ(point.tokens_per_s, 9800);
  EXPECT_EQ(point.resident_mb, 812.4);
  ASSERT_EQ(run.evaluations.size(), 1u);
  EXPECT_EQ(run.evaluations[0].file, "p.txt");
  EXPECT_EQ(run.evaluations[0].context, "carry");
  EXPECT_EQ(run.evaluations[0].nats_per_token, 3.2);
  EXPECT_EQ(run.evaluations[0].perplexity, 24.5);
  EXPECT_EQ(run.evaluations[0].bits_per_byte, 1.71);
  ASSERT_EQ(run.evaluations[0].by_position.size(), 1u);
  EXPECT_EQ(run.evaluations[0].by_position[0].end, 256);
  EXPECT_EQ(run.evaluations[0].by_position[0].nats_per_token, 3.9);
  ASSERT_EQ(run.samples.size(), 1u);
  EXPECT_EQ(run.samples[0].text, " had");
  ASSERT_EQ(run.references.size(), 1u);
  EXPECT_EQ(run.references[0].bits_per_byte, 2.47);
  EXPECT_THAT(run.notes, ElementsAre("resumed at step 100"));
}

TEST_F(LoadRun, PassesOverUnknownKindsAndFields) {
  const report::Run run =
      load("{\"kind\":\"weather\",\"step\":\"x\"}\n{\"no\":\"kind\"}\n{\"kind\":\"train\",\"step\":1,\"loss\":2,\"mood\":[{}]}\n");
  ASSERT_EQ(run.train.size(), 1u);
  EXPECT_EQ(run.train[0].loss, 2);
  EXPECT_TRUE(std::isnan(run.train[0].grad_norm));
}

TEST_F(LoadRun, KeepsTheLastOfAStepThatCameTwice) {
  const report::Run run = load(R"({"kind":"train","step":1,"loss":9}
{"kind":"train","step":2,"loss":8}
{"kind":"train","step":3,"loss":7}
{"kind":"eval","step":3,"file":"a","context":"carry","bits_per_byte":5}
{"kind":"eval","step":3,"file":"a","context":"reset","bits_per_byte":6}
{"kind":"sample","step":3,"prompt":"p","text":"old"}
{"kind":"reference","name":"xz","file":"a","bits_per_byte":3}
{"kind":"train","step":2,"loss":1.5}
{"kind":"train","step":3,"loss":1.25}
{"kind":"eval","step":3,"file":"a","context":"carry","bits_per_byte":1}
{"kind":"eval","step":3,"file":"a","context":"reset","bits_per_byte":4}
{"kind":"sample","step":3,"prompt":"p","text":"new"}
{"kind":"reference","name":"xz","file":"a","bits_per_byte":2}
)");
  std::vector<std::pair<int64_t, double>> losses;
  for (const TrainPoint& point : run.train) losses.emplace_back(point.step, point.loss);
  EXPECT_THAT(losses, ElementsAre(Pair(1, 9), Pair(2, 1.5), Pair(3, 1.25)));
  ASSERT_EQ(run.evaluations.size(), 2u);
  EXPECT_EQ(run.evaluations[0].bits_per_byte, 1);
  EXPECT_EQ(run.evaluations[1].bits_per_byte, 4);
  ASSERT_EQ(run.samples.size(), 1u);
  EXPECT_EQ(run.samples[0].text, "new");
  ASSERT_EQ(run.references.size(), 1u);
  EXPECT_EQ(run.references[0].bits_per_byte, 2);
}

/// Steps 10 to 35, then what is given, and the steps that the run shows.
class ResumedRun : public LoadRun {
 protected:
  report::Run resumed(const std::string& rest) {
    std::string text;
    for (int step = 10; step <= 35; step += 5) text += fmt::format("{{\"kind\":\"train\",\"step\":{},\"loss\":1}}\n", step);
    text += R"({"kind":"eval","step":30,"file":"a","bits_per_byte":1}
{"kind":"eval","step":36,"file":"a","bits_per_byte":1}
{"kind":"sample","step":36,"prompt":"p","text":"void"}
)";
    return load(text + rest);
  }

  static std::vector<std::pair<int64_t, double>> losses(const report::Run& run) {
    std::vector<std::pair<int64_t, double>> all;
    for (const TrainPoint& point : run.train) all.emplace_back(point.step, point.loss);
    return all;
  }
};

TEST_F(ResumedRun, StepsThatWereMadeAgainReplaceAllThatCameAfterThem) {
  const report::Run run = resumed(R"({"kind":"train","step":32,"loss":2}
{"kind":"train","step":40,"loss":2}
{"kind":"eval","step":40,"file":"a","bits_per_byte":2}
)");
  EXPECT_THAT(losses(run), ElementsAre(Pair(10, 1), Pair(15, 1), Pair(20, 1), Pair(25, 1), Pair(30, 1), Pair(32, 2), Pair(40, 2)));
  ASSERT_EQ(run.evaluations.size(), 2u);
  EXPECT_EQ(run.evaluations[0].step, 30);
  EXPECT_EQ(run.evaluations[1].step, 40);
  EXPECT_TRUE(run.samples.empty());
}

TEST_F(ResumedRun, ANoteOfTheStepItWasResumedAtVoidsTheLaterOnes) {
  const report::Run run = resumed(R"({"kind":"note","resumed_step":30,"text":"resumed at step 30"}
{"kind":"train","step":40,"loss":2}
)");
  EXPECT_THAT(losses(run), ElementsAre(Pair(10, 1), Pair(15, 1), Pair(20, 1), Pair(25, 1), Pair(30, 1), Pair(40, 2)));
  ASSERT_EQ(run.evaluations.size(), 1u);
  EXPECT_EQ(run.evaluations[0].step, 30);
  EXPECT_TRUE(run.samples.empty());
  EXPECT_THAT(run.notes, ElementsAre("resumed at step 30"));
}

TEST_F(LoadRun, TakesALastLineCutAnywhereAndSaysSo) {
  const std::string first = "{\"kind\":\"train\",\"step\":1,\"loss\":2}\n";
  const std::string second = "{\"kind\":\"train\",\"step\":2,\"loss\":1.5}";
  for (size_t length = 1; length < second.size(); ++length) {
    const report::Run run = load(first + second.substr(0, length));
    EXPECT_EQ(run.train.size(), 1u) << length;
    ASSERT_EQ(run.notes.size(), 1u) << length;
    EXPECT_THAT(run.notes[0], HasSubstr("line 2")) << length;
  }
  const report::Run whole = load(first + second);
  EXPECT_EQ(whole.train.size(), 2u);
  EXPECT_TRUE(whole.notes.empty());
}

TEST_F(LoadRun, RefusesACorruptLineInTheMiddleByItsNumber) {
  const std::string good = "{\"kind\":\"train\",\"step\":1,\"loss\":2}\n";
  for (const char* bad :
       {"{\"kind\":\"train\",\"st\n", "[1]\n", "{} {}\n", "nonsense\n", "{\"kind\":\"train\",\"step\":1,\"loss\":NaN}\n", "\xFF\n"}) {
    const std::string text = message(good + good + bad + good);
    EXPECT_THAT(text, HasSubstr("metrics.jsonl at 3")) << bad;
    EXPECT_THAT(text, HasSubstr("line 3")) << bad;
  }
  // With its line feed, the last line is not one that was cut off.
  EXPECT_THAT(message(good + "{\"kind\n"), HasSubstr("line 2"));
}

TEST_F(LoadRun, RefusesDeepNestingWithoutDescending) { EXPECT_THAT(message("{\"a\":" + std::string(1'000'000, '[') + "\n"), HasSubstr("line 1")); }

TEST_F(LoadRun, RefusesAKnownFieldOfTheWrongType) {
  EXPECT_THAT(message("{\"kind\":\"train\",\"step\":1,\"loss\":\"low\"}\n"), HasSubstr("at 1, loss] expected a number on line 1, got \"low\""));
  EXPECT_THAT(message("{\"kind\":\"train\",\"loss\":1}\n"), HasSubstr("expected a step on line 1"));
  for (const char* step : {"-1", "1.5", "\"1\"", "1e300", "18446744073709551615", "[]", "null"})
    EXPECT_THAT(message("{\"kind\":\"train\",\"step\":" + std::string(step) + "}\n"), HasSubstr("at 1, step] expected a whole number")) << step;
  EXPECT_THAT(message("{\"kind\":3}\n"), HasSubstr("at 1, kind] expected a string"));
  EXPECT_THAT(message("{\"kind\":\"eval\",\"step\":1,\"by_position\":{}}\n"), HasSubstr("by_position] expected a list"));
  EXPECT_THAT(message("{\"kind\":\"eval\",\"step\":1,\"by_position\":[1]}\n"), HasSubstr("by_position] expected a list of objects"));
}

TEST_F(LoadRun, NotesLossesThatWereNotFinite) {
  const report::Run run = load(
      "{\"kind\":\"train\",\"step\":1,\"loss\":2}\n{\"kind\":\"train\",\"step\":5,\"loss\":null}\n{\"kind\":\"train\",\"step\":9,\"loss\":null}\n");
  EXPECT_THAT(run.notes, ElementsAre("No finite loss at 2 of 3 logged steps, the first of them 5."));
}

TEST_F(LoadRun, KeepsTheScoresOfATaskAndForgetsThoseOfStepsMadeAgain) {
  const report::Run run = load(
      R"({"kind":"task-eval","step":10,"file":"dev.tsv","task":"sequence-classification","examples":40,"accuracy":0.5,"loss":0.75,"f1":null,"extra":"x"}
{"kind":"task-eval","step":20,"file":"dev.tsv","task":"sequence-classification","examples":40,"accuracy":0.25}
{"kind":"note","resumed_step":10,"text":"resumed at step 10"}
{"kind":"task-eval","step":20,"file":"dev.tsv","task":"sequence-classification","examples":40,"accuracy":1}
)");
  std::vector<std::string> scores;
  for (const TaskScore& score : run.scores) scores.push_back(std::to_string(score.step) + " " + score.file + " " + score.name);
  EXPECT_THAT(scores, ElementsAre("10 dev.tsv accuracy", "10 dev.tsv loss", "20 dev.tsv accuracy"));
  EXPECT_EQ(run.scores[1].value, 0.75);
  EXPECT_EQ(run.scores[2].value, 1);
  EXPECT_THAT(message("{\"kind\":\"task-eval\",\"accuracy\":1}\n"), HasSubstr("a step on line 1"));
}

TEST_F(LoadRun, NamesTheMissingDirectoryOrFile) {
  const auto complaint = [](const std::filesystem::path& path) { return everlong::testing::message_of<IoError>([&] { (void)load_run(path); }); };
  EXPECT_THAT(complaint(folder_ / "nowhere"), HasSubstr("nowhere] cannot open run directory"));
  everlong::testing::write_text(folder_ / "file", "");
  EXPECT_THAT(complaint(folder_ / "file"), HasSubstr("file] cannot open run directory"));
  std::filesystem::create_directories(folder_ / "empty/metrics.jsonl");
  EXPECT_THAT(complaint(folder_ / "empty"), HasSubstr("config.toml"));
  everlong::testing::write_text(folder_ / "empty/config.toml", "");
  EXPECT_THAT(complaint(folder_ / "empty"), HasSubstr("a run directory holds config.toml and metrics.jsonl"));
}

TEST_F(LoadRun, IsNamedAfterTheDirectoryHoweverItIsSpelt) {
  (void)load("");
  EXPECT_EQ(load_run(folder_ / "first/").name, "first");
  EXPECT_EQ(load_run(folder_ / "first/../first/.").name, "first");
}

TEST(ReadSettings, DotsKeysBySectionAndStripsQuotesAndComments) {
  EXPECT_THAT(read_settings("# top\nseed = 7 # why\n[optim]\nlr = 4e-3\nname = \"a # b\"\n[data.files]\nlist = [\"a\",\n  \"b\"]\nbad line\n"),
              ElementsAre(Pair("seed", "7"), Pair("optim.lr", "4e-3"), Pair("optim.name", "a # b"), Pair("data.files.list", "[\"a\", \"b\"]")));
}

TEST(ReadSettings, TakesAnyTextWithoutComplaint) {
  for (const char* text : {"[", "]", "[]", "=", "a=", "a=\"", "a=[", "a=[\n[\n", "[[x]]\nb='", "\xFF=\xFF"}) (void)read_settings(text);
  EXPECT_THAT(read_settings("[[x]]\nb=1"), ElementsAre(Pair("x.b", "1")));
}

}  // namespace
}  // namespace everlong::report
