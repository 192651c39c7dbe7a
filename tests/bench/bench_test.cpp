// Rows that make sense, and errors; no assertion about speed.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/bench/ema_bench.h"
#include "everlong/bench/measurement.h"
#include "everlong/bench/model_bench.h"
#include "everlong/bench/ops_bench.h"
#include "everlong/tensor/torch.h"
#include "tests/support/torch/models.h"

namespace everlong::bench {
namespace {

/// Positive, finite numbers everywhere, the best time no longer than the median, and the same names of rates in all rows.
void expect_sane(const std::vector<Measurement>& rows, const std::string& target) {
  ASSERT_FALSE(rows.empty());
  std::set<std::vector<std::string>> names;
  for (const Measurement& row : rows) {
    EXPECT_EQ(row.target, target);
    EXPECT_GE(row.num_threads, 1);
    EXPECT_LE(row.best_ms, row.median_ms);
    std::vector<std::string> own;
    for (const auto& [name, value] : row.rates) {
      own.push_back(name);
      EXPECT_TRUE(std::isfinite(value) && value > 0) << row.what << " " << row.dtype << " " << name << " " << value;
    }
    names.insert(own);
  }
  EXPECT_EQ(names.size(), 1u);
}

using Rows = std::vector<std::pair<std::string, std::string>>;

Rows whats(const std::vector<Measurement>& rows) {
  Rows found;
  for (const Measurement& row : rows) found.emplace_back(row.what, row.dtype);
  return found;
}

double rate(const Measurement& row, const std::string& name) {
  for (const auto& [key, value] : row.rates)
    if (key == name) return value;
  ADD_FAILURE() << "no rate " << name;
  return 0;
}

TEST(TimeCalls, CallsOnceToWarmUpAndThenAsOftenAsAsked) {
  int calls = 0;
  const Timing timing = time_calls([&] { ++calls; }, 5);
  EXPECT_EQ(calls, 6);
  EXPECT_GE(timing.best_ms, 0);
  EXPECT_LE(timing.best_ms, timing.median_ms);
  EXPECT_THROW(static_cast<void>(time_calls([] {}, 0)), InvalidArgument);
}

TEST(TimeCalls, TheMedianIsNotTheSlowest) {
  int calls = 0;
  const auto wait = [&] {  // of five calls after the first, one is slow
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(++calls == 4 ? 200 : 1);
    while (std::chrono::steady_clock::now() < until) continue;
  };
  const Timing timing = time_calls(wait, 5);
  EXPECT_GE(timing.best_ms, 1);
  EXPECT_LT(timing.median_ms, 200);
}

TEST(PeakMemory, SeesWhatIsHeldMeanwhile) {
  const PeakMemory peak;
  const int64_t before = peak.bytes();
  { const at::Tensor held = at::ones({64 << 20}, at::kByte); }
  EXPECT_GE(peak.bytes(), std::max<int64_t>(before, 64 << 20));
}

TEST(OpsBench, ScansHaveRowsForBothDtypesAndPasses) {
  const std::vector<std::pair<std::string, std::vector<Measurement> (*)(const OpBenchOptions&)>> scans = {{"ema", bench_ema},
                                                                                                          {"complex-ema", bench_complex_ema}};
  for (const auto& [name, bench] : scans) {
    const auto rows = bench({.seq_len = 64, .repeat = 2, .max_threads = 1});
    expect_sane(rows, name);
    const Rows found = whats(rows);
    for (const char* dtype : {"f32", "bf16"})
      for (const char* what : {"forward", "backward"})
        EXPECT_EQ(std::count(found.begin(), found.end(), Rows::value_type(what, dtype)), 1) << name << " " << what << " " << dtype;
    for (const Measurement& row : bench({.seq_len = 64, .dtype = at::kFloat, .repeat = 2, .max_threads = 1})) EXPECT_EQ(row.dtype, "f32");
  }
  EXPECT_THROW(static_cast<void>(measure_ema({.seq_len = 0, .rounds = 2})), InvalidArgument);
  EXPECT_THROW(static_cast<void>(measure_complex_ema({.seq_len = 0, .rounds = 2})), InvalidArgument);
}

TEST(OpsBench, ComplexEmaCountsTheMultiplyAddsOfItsEquations) {
  const auto rows = bench_complex_ema({.seq_len = 64, .dtype = at::kFloat, .repeat = 2, .max_threads = 1});
  constexpr double kElements = 64 * 768, kForward = 2 * (6 * 16 + 1), kBackward = kForward + 2 * (12 * 16 + 1);
  EXPECT_NEAR(rate(rows[0], "gflops") * rows[0].best_ms * 1e6 / (kElements * kForward), 1, 1e-9);
  EXPECT_NEAR(rate(rows[1], "gflops") * rows[1].best_ms * 1e6 / (kElements * kBackward), 1, 1e-9);
}

TEST(OpsBench, RatesFollowFromWorkAndTime) {
  const auto rows = bench_attention({.seq_len = 32, .dtype = at::kFloat, .repeat = 2});
  expect_sane(rows, "attention");
  ASSERT_EQ(whats(rows), (Rows{{"forward", "f32"}, {"forward and backward", "f32"}}));
  constexpr double kForward = 2.0 * 32 * 32 * (192 + 2304);
  EXPECT_NEAR(rate(rows[0], "gflops") * rows[0].best_ms * 1e6 / kForward, 1, 1e-9);
  const auto loss = bench_cross_entropy({.seq_len = 4, .dtype = at::kBFloat16, .repeat = 1});
  expect_sane(loss, "cross-entropy");
  ASSERT_EQ(whats(loss), (Rows{{"forward", "bf16"}, {"forward and backward", "bf16"}}));
  EXPECT_NEAR(rate(loss[1], "gflops") * loss[1].best_ms * 1e6 / (3 * 2.0 * 4 * 768 * 50265), 1, 1e-9);
}

TEST(OpsBench, LinearCountsTheBytesOfTheMatrix) {
  const auto rows = bench_linear({.dtype = at::kBFloat16, .repeat = 1});
  ASSERT_GE(rows.size(), 2U);
  double expected = 2.0 * 1024 * 768;
  for (const Measurement& row : rows) {
    if (row.what == "matrix in memory") expected *= 256;
    const double share = row.what.ends_with("packed") ? 0.75 + (8 + 24.0 / 16) / (2 * 768) : 1;
    EXPECT_NEAR(row.rates[0].second * row.best_ms * 1e6, expected * share, expected * 1e-3) << row.what;
  }
}

TEST(OpsBench, TimestepNormIsHeldAgainstTheCopyRoof) {
  const auto rows = bench_timestep_norm({.seq_len = 16, .dtype = at::kFloat, .repeat = 2, .max_threads = 1});
  expect_sane(rows, "timestep-norm");
  ASSERT_EQ(whats(rows), (Rows{{"forward", "f32"}, {"backward", "f32"}, {"op forward", "f32"}}));
  EXPECT_NEAR(rate(rows[1], "gb_per_s") * rows[1].best_ms * 1e6 / (3 * 4.0 * 16 * 768), 1, 1e-9);
  EXPECT_GT(rate(rows[1], "copy_gb_per_s"), 0);
}

TEST(OpsBench, OtherDtypesAreRefusedBeforeAnythingIsTimed) {
  const OpBenchOptions wide{.dtype = at::kDouble, .max_threads = 1};
  EXPECT_THROW(static_cast<void>(bench_ema(wide)), Unsupported);
  EXPECT_THROW(static_cast<void>(bench_complex_ema(wide)), Unsupported);
  EXPECT_THROW(static_cast<void>(bench_attention(wide)), Unsupported);
  EXPECT_THROW(static_cast<void>(bench_cross_entropy(wide)), Unsupported);
  EXPECT_THROW(static_cast<void>(bench_timestep_norm(wide)), Unsupported);
}

TEST(OpsBench, RoofsHaveOneRowAThreadCountAndNoTimes) {
  const auto rows = bench_roofs({.max_threads = 1});
  expect_sane(rows, "roofs");
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].best_ms, 0);
}

TEST(ModelBench, ATinyModelIsReadWrittenAndTrained) {
  const auto model = testing::tiny_model(*models::find_architecture("mega").tiny_config(), at::kFloat);
  const auto rows = bench_model("tiny", *model, {.batch_size = 2, .seq_len = 12, .decode_tokens = 3, .repeat = 2});
  expect_sane(rows, "tiny");
  ASSERT_EQ(whats(rows), (Rows{{"prefill", "f32"}, {"decode", "f32"}, {"train step", "f32"}}));
  for (size_t i = 0; i < rows.size(); ++i) {
    const double tokens = 2 * (i == 1 ? 3 : 12);
    EXPECT_NEAR(rate(rows[i], "tokens_per_s") * rows[i].median_ms * 1e-3 / tokens, 1, 1e-9);
    EXPECT_NEAR(rate(rows[i], "ms_per_token") * (tokens / 2) / rows[i].median_ms, 1, 1e-9);
    EXPECT_GT(rate(rows[i], "peak_memory_bytes"), 1 << 20);
  }
}

TEST(ModelBench, EncodingAloneLeavesTheModelAsItWas) {
  for (const models::Task task : {models::Task::causal_lm, models::Task::masked_lm, models::Task::token_classification}) {
    auto config = models::find_architecture("mega").tiny_config();
    config->fields().set_all(task == models::Task::causal_lm ? "is_decoder=true" : "is_decoder=false bidirectional=true");
    const auto model = models::make_head(*config, task);
    std::vector<at::Tensor> before;
    for (const at::Tensor& parameter : model->parameters()) before.push_back(parameter.detach().clone());
    const auto rows = bench_model("tiny", *model, {.batch_size = 2, .seq_len = 12, .repeat = 2, .dtype = at::kBFloat16, .only = ModelPhase::encode});
    expect_sane(rows, "tiny");
    ASSERT_EQ(whats(rows), (Rows{{"encode", "bf16"}}));
    EXPECT_NEAR(rate(rows[0], "tokens_per_s") * rows[0].median_ms * 1e-3 / 24, 1, 1e-9);
    const auto after = model->parameters();
    for (size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(at::equal(after[i], before[i])) << models::task_name(task) << " " << i;
  }
}

TEST(ModelBench, AHeadThatIsNoLanguageModelIsOnlyEncoded) {
  auto config = models::find_architecture("mega").tiny_config();
  config->fields().set_all("is_decoder=false bidirectional=true");
  const auto model = models::make_head(*config, models::Task::token_classification);
  EXPECT_THROW(static_cast<void>(bench_model("tiny", *model, {.seq_len = 4, .repeat = 1})), Unsupported);
}

TEST(ModelBench, SizesBelowOneAreRefused) {
  const auto model = testing::tiny_model(*models::find_architecture("mega").tiny_config(), at::kFloat);
  for (const ModelBenchOptions& options : {ModelBenchOptions{.batch_size = 0}, {.seq_len = 0}, {.decode_tokens = 0}, {.seq_len = 4, .repeat = 0}})
    EXPECT_THROW(static_cast<void>(bench_model("tiny", *model, options)), InvalidArgument);
}

TEST(ModelBench, AnUnknownPresetIsAnsweredWithTheKnownOnes) {
  try {
    static_cast<void>(model_of_preset("mega-smal", {}, "ema, roofs"));
    FAIL() << "there is no such preset";
  } catch (const Unsupported& error) {
    EXPECT_NE(std::string(error.what()).find("ema, roofs, "), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("mega-small"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace everlong::bench
