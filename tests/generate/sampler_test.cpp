#include "everlong/generate/sampler.h"

#include <array>
#include <cmath>
#include <limits>
#include <set>

#include <gtest/gtest.h>

#include "everlong/base/error.h"

namespace everlong::generate {
namespace {

using Probabilities = std::vector<double>;

std::vector<float> logits_of(const Probabilities& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p) + 3.0));
  return logits;
}

const Probabilities kFour = {0.05, 0.5, 0.15, 0.3};

std::vector<int64_t> counts(const SamplingOptions& options, const Probabilities& probabilities, int64_t draws, uint64_t seed = 7) {
  Sampler sampler(options, seed);
  std::vector<int64_t> seen(probabilities.size(), 0);
  for (int64_t i = 0; i < draws; ++i) {
    auto logits = logits_of(probabilities);
    ++seen[static_cast<size_t>(sampler.draw(logits))];
  }
  return seen;
}

std::set<int32_t> drawn(const SamplingOptions& options) {
  const auto seen = counts(options, kFour, 400);
  std::set<int32_t> tokens;
  for (size_t i = 0; i < seen.size(); ++i)
    if (seen[i] > 0) tokens.insert(static_cast<int32_t>(i));
  return tokens;
}

using Tokens = std::set<int32_t>;

TEST(Sampler, TopKKeepsTheKBest) {
  EXPECT_EQ(drawn({.top_k = 1}), (Tokens{1}));
  EXPECT_EQ(drawn({.top_k = 2}), (Tokens{1, 3}));
  EXPECT_EQ(drawn({.top_k = 3}), (Tokens{1, 2, 3}));
  EXPECT_EQ(drawn({.top_k = 0}), (Tokens{0, 1, 2, 3}));
  EXPECT_EQ(drawn({.top_k = 100}), (Tokens{0, 1, 2, 3}));
}

TEST(Sampler, TopPKeepsTheFewestTokensThatReachThePart) {
  EXPECT_EQ(drawn({.top_p = 0.01}), (Tokens{1}));
  EXPECT_EQ(drawn({.top_p = 0.49}), (Tokens{1}));
  EXPECT_EQ(drawn({.top_p = 0.51}), (Tokens{1, 3}));
  EXPECT_EQ(drawn({.top_p = 0.79}), (Tokens{1, 3}));
  EXPECT_EQ(drawn({.top_p = 0.81}), (Tokens{1, 2, 3}));
  EXPECT_EQ(drawn({.top_p = 1.0}), (Tokens{0, 1, 2, 3}));
}

TEST(Sampler, MinPKeepsTokensNearTheBest) {
  EXPECT_EQ(drawn({.min_p = 0.61}), (Tokens{1}));
  EXPECT_EQ(drawn({.min_p = 0.59}), (Tokens{1, 3}));
  EXPECT_EQ(drawn({.min_p = 0.29}), (Tokens{1, 2, 3}));
  EXPECT_EQ(drawn({.min_p = 0.09}), (Tokens{0, 1, 2, 3}));
}

TEST(Sampler, TopPCountsWhatTopKLeft) {
  EXPECT_EQ(drawn({.top_k = 2, .top_p = 0.62}), (Tokens{1}));  // 0.5 of 0.8 is 0.625
  EXPECT_EQ(drawn({.top_k = 2, .top_p = 0.63}), (Tokens{1, 3}));
}

TEST(Sampler, TemperatureZeroTakesTheBestAndTheSmallerIdOfTwoEquals) {
  Sampler sampler({.temperature = 0}, 1);
  std::vector<float> logits = {1.0f, 2.5f, 2.5f, -4.0f};
  for (int i = 0; i < 5; ++i) EXPECT_EQ(sampler.draw(logits), 1);
}

/// Sum of (seen - expected)^2 / expected. With three degrees of freedom it exceeds 21.1 once in ten thousand experiments.
double chi_square(const std::vector<int64_t>& seen, const Probabilities& probabilities, int64_t draws) {
  double sum = 0;
  for (size_t i = 0; i < seen.size(); ++i) {
    const double expected = probabilities[i] * static_cast<double>(draws);
    sum += std::pow(static_cast<double>(seen[i]) - expected, 2) / expected;
  }
  return sum;
}

TEST(Sampler, DrawsFollowTheProbabilities) {
  constexpr int64_t kDraws = 40000;
  EXPECT_LT(chi_square(counts({}, kFour, kDraws), kFour, kDraws), 21.1);
  Probabilities warm;  // temperature 2: square roots, normalised
  double total = 0;
  for (const double p : kFour) total += std::sqrt(p);
  for (const double p : kFour) warm.push_back(std::sqrt(p) / total);
  EXPECT_LT(chi_square(counts({.temperature = 2}, kFour, kDraws), warm, kDraws), 21.1);
  EXPECT_GT(chi_square(counts({.temperature = 1.1}, kFour, kDraws), kFour, kDraws), 21.1);  // the bound tells ten per cent of temperature apart
}

TEST(Sampler, TheSeedAloneDecidesTheDraws) {
  const auto draws = [](uint64_t seed) {
    Sampler sampler({}, seed);
    std::vector<int32_t> tokens;
    for (int i = 0; i < 64; ++i) {
      auto logits = logits_of(kFour);
      tokens.push_back(sampler.draw(logits));
    }
    return tokens;
  };
  EXPECT_EQ(draws(3), draws(3));
  EXPECT_NE(draws(3), draws(4));
}

/// The scores after a draw are those after the penalty.
std::vector<float> penalised(const SamplingOptions& options, const std::vector<int32_t>& seen) {
  Sampler sampler(options, 1);
  for (const int32_t token : seen) sampler.observe(token);
  std::vector<float> logits = {2.0f, -1.0f, 1.5f, 0.0f};
  static_cast<void>(sampler.draw(logits));
  return logits;
}

TEST(Sampler, ThePenaltyDividesPositiveScoresAndMultipliesNegativeOnesOnce) {
  using Scores = std::vector<float>;
  EXPECT_EQ(penalised({.repetition_penalty = 2}, {}), (Scores{2.0f, -1.0f, 1.5f, 0.0f}));
  EXPECT_EQ(penalised({.repetition_penalty = 2}, {0, 1, 3, 0, 0}), (Scores{1.0f, -2.0f, 1.5f, 0.0f}));
  EXPECT_EQ(penalised({.repetition_penalty = 1}, {0, 1}), (Scores{2.0f, -1.0f, 1.5f, 0.0f}));
}

TEST(Sampler, ThePenaltyReachesBackAsFarAsItsWindow) {
  using Scores = std::vector<float>;
  const SamplingOptions options{.repetition_penalty = 2, .repetition_window = 2};
  EXPECT_EQ(penalised(options, {0, 2, 1}), (Scores{2.0f, -2.0f, 0.75f, 0.0f}));
  EXPECT_EQ(penalised(options, {0, 0, 0, 0, 0, 0, 3, 2}), (Scores{2.0f, -1.0f, 0.75f, 0.0f}));
  EXPECT_EQ(penalised({.repetition_penalty = 2, .repetition_window = 0}, {0, 1}), (Scores{2.0f, -1.0f, 1.5f, 0.0f}));
}

TEST(Sampler, InfiniteScoresAreNeverDrawnAndNothingFiniteIsRefused) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  Sampler sampler({}, 1);
  for (int i = 0; i < 50; ++i) {
    std::vector<float> logits = {-infinity, 0.0f, nan, -infinity};
    EXPECT_EQ(sampler.draw(logits), 1);
  }
  std::vector<float> hopeless = {nan, infinity, -infinity};
  EXPECT_THROW(static_cast<void>(sampler.draw(hopeless)), InvalidArgument);
}

TEST(Sampler, OptionsOutOfRangeAreRefusedByName) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  const std::vector<std::pair<SamplingOptions, std::string>> wrong = {{{.temperature = -0.1}, "temperature"},
                                                                      {{.temperature = nan}, "temperature"},
                                                                      {{.temperature = infinity}, "temperature"},
                                                                      {{.top_k = -1}, "top-k"},
                                                                      {{.top_p = 0}, "top-p"},
                                                                      {{.top_p = 1.01}, "top-p"},
                                                                      {{.top_p = nan}, "top-p"},
                                                                      {{.min_p = 1}, "min-p"},
                                                                      {{.min_p = -0.1}, "min-p"},
                                                                      {{.repetition_penalty = 0}, "repetition-penalty"},
                                                                      {{.repetition_window = -1}, "repetition-window"}};
  for (const auto& [options, name] : wrong) {
    try {
      const Sampler sampler(options, 1);
      ADD_FAILURE() << name << " was accepted";
    } catch (const InvalidArgument& error) {
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace everlong::generate
