#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/report/report.h"
#include "tests/report/markup_check.h"

namespace everlong::report {
namespace {

using everlong::testing::Element;
using everlong::testing::read_markup;
using ::testing::HasSubstr;
using ::testing::Not;

report::Run make_run(const std::string& name, int64_t points) {
  report::Run run;
  run.name = name;
  run.config_text = "[train]\nsteps = 5000\n[model]\nparameters = 11_300_000\n";
  run.settings = {{"train.steps", "5000"}, {"model.parameters", "11_300_000"}, {"model.name", name}};
  for (int64_t i = 1; i <= points; ++i) {
    const auto t = static_cast<double>(i);
    run.train.push_back({i, t * 4096, 3 + std::exp(-t / 100) + 0.1 * std::sin(t * t), 1.5, 0.004 / t, 0.5 + 0.3 * std::sin(t), 9800 + t, 812.4});
  }
  for (const char* context : {"carry", "reset"})
    run.evaluations.push_back({points, "persuasion.txt", context, 3.2, 24.5, 1.71, {{0, 256, 3.9}, {256, 1024, 3.4}, {1024, 65536, 3.1}}});
  run.samples.push_back({points, "She had", " been forced into prudence"});
  run.references.push_back({"xz -9e", "persuasion.txt", 2.470});
  return run;
}

std::string render(const report::Run& run) { return render_report({&run, 1}); }

const Element* find(const std::vector<Element>& elements, const std::string& id) {
  for (const Element& element : elements) {
    const auto found = element.attributes.find("id");
    if (found != element.attributes.end() && found->second == id) return &element;
  }
  return nullptr;
}

nlohmann::json data_of(const std::string& html) { return nlohmann::json::parse(find(read_markup(html), "data")->text); }

TEST(RenderReport, HasEveryChartAndSectionOnce) {
  const std::vector<Element> elements = read_markup(render(make_run("one", 50)));
  for (const char* chart : {"loss", "evaluation", "scores", "position", "learning-rate", "gradient-norm", "speed", "memory"})
    EXPECT_NE(find(elements, std::string("chart-") + chart), nullptr) << chart;
  for (const char* section : {"summary", "bars", "samples", "settings", "data"}) EXPECT_NE(find(elements, section), nullptr) << section;
}

TEST(RenderReport, SumsUpARunInItsTable) {
  report::Run run = make_run("one", 100);
  for (TrainPoint& point : run.train) point.loss = 2.125;
  const std::string html = render(run);
  for (const char* cell : {"<td>11.3\xC2\xA0M</td>", "<td>100 of 5000</td>", "<td>410\xC2\xA0k</td>", "<td>2.125</td>", "<td>1.710</td>",
                           "<td>2.470</td>", "<td>9.85\xC2\xA0k</td>", "<td>812</td>", "xz -9e", "been forced into prudence"})
    EXPECT_THAT(html, HasSubstr(cell));
}

TEST(RenderReport, RefersToNothingOutsideItself) {
  for (const Element& element : read_markup(render(make_run("one", 50)))) {
    EXPECT_NE(element.name, "link");
    EXPECT_NE(element.name, "img");
    EXPECT_EQ(element.attributes.count("src") + element.attributes.count("href"), 0u) << element.name;
    if (element.name != "style") continue;
    EXPECT_THAT(element.text, Not(HasSubstr("url(")));
    EXPECT_THAT(element.text, Not(HasSubstr("@import")));
  }
}

TEST(RenderReport, CarriesTheLicenceOfWhatItEmbeds) { EXPECT_THAT(render(make_run("one", 5)), HasSubstr("Copyright (c) 2022 Leon Sorokin")); }

TEST(RenderReport, IsHarmlessWhateverTheFilesSay) {
  const std::string evil = "</script><script>alert(1)</script><!-- \"'&\xFF";
  report::Run run = make_run(evil, 50);
  run.config_text = evil;
  run.settings = {{evil, evil}};
  run.notes = {evil};
  run.samples = {{1, evil, evil}};
  run.references = {{evil, evil, 2}};
  for (Evaluation& eval : run.evaluations) eval.file = eval.context = evil;
  report::Run other = run;
  other.settings = {{evil, "2"}};
  const std::string calm = render_report(std::vector<report::Run>{make_run("a", 50), make_run("b", 50)}, {.title = "t"});
  const std::string html = render_report(std::vector<report::Run>{run, other}, {.title = evil});
  const auto scripts = [](const std::string& text) {
    const std::vector<Element> elements = read_markup(text);
    return std::count_if(elements.begin(), elements.end(), [](const Element& element) { return element.name == "script"; });
  };
  EXPECT_EQ(scripts(html), scripts(calm));
  EXPECT_THAT(html, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(1)"));
  EXPECT_EQ(data_of(html)["runs"][0]["name"], "</script><script>alert(1)</script><!-- \"'&\xEF\xBF\xBD");
}

TEST(RenderReport, DrawsAllPointsOfAShortRunAndTheExtremesOfALongOne) {
  const auto short_run = data_of(render(make_run("one", 200)))["runs"][0]["series"]["loss"];
  EXPECT_EQ(short_run["x"].size(), 200u);
  report::Run run = make_run("one", 50'000);
  run.train[31'415].loss = 77.5;
  run.train[31'500].grad_norm = 1234.5;
  const auto series = data_of(render(run))["runs"][0]["series"];
  const auto& loss = series["loss"];
  EXPECT_LE(loss["x"].size(), 1202u);
  EXPECT_EQ(loss["x"].size(), loss["y"].size());
  EXPECT_EQ(loss["x"].size(), loss["s"].size());
  EXPECT_EQ(loss["x"].front(), 1);
  EXPECT_EQ(loss["x"].back(), 50'000);
  const auto spike = std::find(loss["y"].begin(), loss["y"].end(), 77.5);
  ASSERT_NE(spike, loss["y"].end());
  EXPECT_EQ(loss["x"][static_cast<size_t>(spike - loss["y"].begin())], 31'416);
  EXPECT_NE(std::find(series["grad"]["y"].begin(), series["grad"]["y"].end(), 1234.5), series["grad"]["y"].end());
}

TEST(RenderReport, PutsTheLossOfAPositionAtTheMiddleOfItsStretch) {
  const auto positions = data_of(render(make_run("one", 50)))["runs"][0]["positions"];
  ASSERT_EQ(positions.size(), 2u);
  EXPECT_EQ(positions[0]["label"], "persuasion.txt, carry, step 50");
  EXPECT_EQ(positions[0]["x"], (std::vector<double>{128, 640, 33280}));
  EXPECT_EQ(positions[0]["y"], (std::vector<double>{3.9, 3.4, 3.1}));
}

TEST(RenderReport, ShowsTheScoresOfATaskOverStepsAndTheLastOfThemInATable) {
  report::Run run = make_run("one", 50);
  EXPECT_EQ(find(read_markup(render(run)), "task-scores"), nullptr);
  for (const int64_t step : {10, 20}) {
    const double part = static_cast<double>(step) / 64;
    for (const auto& [name, value] : {std::pair<std::string, double>("accuracy", part), {"loss", 1 - part}, {"perplexity", 2.5}})
      run.scores.push_back({step, "<dev>.tsv", name, value});
  }
  const std::string html = render(run);
  const auto data = data_of(html)["runs"][0];
  ASSERT_EQ(data["scores"].size(), 1u);
  EXPECT_EQ(data["scores"][0]["label"], "<dev>.tsv, accuracy");
  EXPECT_EQ(data["scores"][0]["x"], (std::vector<int64_t>{10, 20}));
  EXPECT_EQ(data["scores"][0]["y"], (std::vector<double>{0.15625, 0.3125}));
  ASSERT_EQ(data["evals"].size(), 3u);
  EXPECT_EQ(data["evals"][2]["label"], "<dev>.tsv");
  EXPECT_EQ(data["evals"][2]["nats"], (std::vector<double>{0.84375, 0.6875}));
  EXPECT_TRUE(data["evals"][2]["bits"][0].is_null());
  ASSERT_NE(find(read_markup(html), "task-scores"), nullptr);
  EXPECT_THAT(html, HasSubstr("<td>&lt;dev&gt;.tsv</td><td>accuracy</td><td>20</td><td>0.3125</td>"));
}

TEST(RenderReport, OrdersBarsFromBestToWorst) {
  const std::string html = render(make_run("one", 50));
  const size_t bars = html.find("id=\"bars\"");
  const size_t own = html.find("<span class=\"bar-value\">1.710", bars);
  const size_t reference = html.find("<span class=\"bar-value\">2.470", bars);
  ASSERT_NE(own, std::string::npos);
  ASSERT_NE(reference, std::string::npos);
  EXPECT_LT(own, reference);
  EXPECT_THAT(html.substr(bars), HasSubstr("style=\"width:100.00%;background:var(--muted)\""));
}

TEST(RenderReport, ShowsOnlyTheSettingsThatDiffer) {
  const std::string html = render_report(std::vector<report::Run>{make_run("one", 5), make_run("two", 5)});
  const size_t begin = html.find("id=\"differences\"");
  ASSERT_NE(begin, std::string::npos);
  const std::string section = html.substr(begin, html.find("</section>", begin) - begin);
  EXPECT_THAT(section, HasSubstr("model.name"));
  EXPECT_THAT(section, Not(HasSubstr("train.steps")));
}

TEST(RenderReport, TellsRunsOfTheSameNameApart) {
  const auto runs = data_of(render_report(std::vector<report::Run>{make_run("run", 5), make_run("run", 5)}))["runs"];
  EXPECT_EQ(runs[0]["name"], "run");
  EXPECT_EQ(runs[1]["name"], "run (2)");
}

TEST(RenderReport, StandsWithoutAnyMetrics) {
  const std::string html = render(report::Run{});
  EXPECT_NO_THROW((void)read_markup(html));
  EXPECT_THAT(html, HasSubstr("No samples were recorded."));
  EXPECT_THAT(html, HasSubstr("No bits per byte were recorded."));
}

TEST(RenderReport, StaysBelowItsLimitForManyLongRuns) {
  std::vector<report::Run> runs;
  for (size_t i = 0; i < kMaxRuns; ++i) {
    report::Run run = make_run("run-" + std::to_string(i), 10'000);
    run.config_text = std::string(300'000, 'c');
    for (int k = 0; k < 100; ++k) run.samples.push_back({k, "prompt " + std::to_string(k), std::string(20'000, '<')});
    for (int k = 0; k < 100; ++k) run.notes.push_back(std::string(5000, '&'));
    for (int k = 0; k < 200; ++k) run.evaluations.push_back({k, "file-" + std::to_string(k), "carry", 3, 20, 1.5, {{0, 256, 3.9}}});
    runs.push_back(std::move(run));
  }
  const std::string html = render_report(runs);
  EXPECT_LT(html.size(), 1'500'000u);
  EXPECT_NO_THROW((void)read_markup(html));
  EXPECT_LT(render_report(runs, {.max_bytes = 600'000}).size(), 600'000u);
}

TEST(RenderReport, IsTheSameForTheSameInput) { EXPECT_EQ(render(make_run("one", 3000)), render(make_run("one", 3000))); }

TEST(RenderReport, RefusesNoRunAndMoreRunsThanColours) {
  EXPECT_THROW((void)render_report({}), InvalidArgument);
  EXPECT_THROW((void)render_report(std::vector<report::Run>(kMaxRuns + 1)), InvalidArgument);
}

}  // namespace
}  // namespace everlong::report
