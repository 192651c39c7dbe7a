#include "everlong/generate/beam_row.h"

#include <gtest/gtest.h>

namespace everlong::generate {
namespace {

constexpr int64_t kEnd = 9;
const std::vector<int64_t> kPrompt{1, 2};

SearchOptions two_beams(EarlyStopping early_stopping, double length_penalty = 1) {
  return {.num_beams = 2, .num_results = 2, .max_new_tokens = 20, .length_penalty = length_penalty, .early_stopping = early_stopping, .end_token = kEnd};
}

/// Two open beams of one token, then both end and two others go on.
BeamRow with_two_finished(const SearchOptions& options) {
  BeamRow row(kPrompt, options);
  EXPECT_EQ(row.advance({{0, 3, -1.0}, {0, 4, -1.2}}), (std::vector<size_t>{0, 0}));
  static_cast<void>(row.advance({{0, kEnd, -1.1}, {1, kEnd, -1.3}, {1, 5, -1.4}, {0, 6, -1.5}}));
  return row;
}

TEST(BeamRow, AnEndThatIsNotAmongTheBestIsDropped) {
  const SearchOptions options = two_beams(EarlyStopping::first);
  BeamRow row(kPrompt, options);
  static_cast<void>(row.advance({{0, 3, -1.0}, {0, 4, -1.05}}));
  EXPECT_EQ(row.advance({{0, 5, -1.1}, {0, kEnd, -1.2}, {1, kEnd, -1.3}, {1, 6, -1.4}}), (std::vector<size_t>{0, 1}));
  EXPECT_FALSE(row.done());  // one has ended, not two
  ASSERT_EQ(row.open().size(), 2U);
  EXPECT_EQ(row.open()[1].tokens, (std::vector<int64_t>{1, 2, 4, 6}));
}

TEST(BeamRow, FirstStopsWithTheFirstFullSet) {
  const SearchOptions options = two_beams(EarlyStopping::first);
  BeamRow row = with_two_finished(options);
  EXPECT_TRUE(row.done());
  const auto results = row.results();
  ASSERT_EQ(results.size(), 2U);
  EXPECT_EQ(results[0].tokens, (std::vector<int64_t>{3}));
  EXPECT_EQ(results[1].tokens, (std::vector<int64_t>{4}));
  EXPECT_DOUBLE_EQ(results[0].score, -1.1 / 2);
  EXPECT_TRUE(results[0].ended && results[1].ended);
}

TEST(BeamRow, TheHeuristicStopsWhereNoOpenBeamIsBetterNow) {
  const SearchOptions options = two_beams(EarlyStopping::heuristic);
  BeamRow row = with_two_finished(options);
  EXPECT_FALSE(row.done());  // the worst has -0.65 a token, the best candidate -0.55
  static_cast<void>(row.advance({{0, 3, -1.8}, {1, 4, -1.9}}));
  EXPECT_FALSE(row.done());  // -0.6
  EXPECT_TRUE(row.advance({{0, 3, -2.8}, {1, 4, -2.9}}).empty());
  EXPECT_TRUE(row.done());  // -0.7
}

TEST(BeamRow, NeverStopsWhereNoOpenBeamCanBeBetterAtAnyLength) {
  const SearchOptions long_ones = two_beams(EarlyStopping::never);
  BeamRow row = with_two_finished(long_ones);
  static_cast<void>(row.advance({{0, 3, -12.9}, {1, 4, -12.95}}));
  EXPECT_FALSE(row.done());  // over 20 tokens that would be -0.645
  static_cast<void>(row.advance({{0, 3, -13.1}, {1, 4, -13.2}}));
  EXPECT_TRUE(row.done());

  const SearchOptions short_ones = two_beams(EarlyStopping::never, -1);  // length makes it worse: now is the best that they can be
  BeamRow other = with_two_finished(short_ones);
  EXPECT_FALSE(other.done());
  static_cast<void>(other.advance({{0, 3, -1.4}, {1, 4, -1.5}}));
  EXPECT_TRUE(other.done());
}

TEST(BeamRow, ABetterEndReplacesTheWorst) {
  const SearchOptions options = two_beams(EarlyStopping::never);
  BeamRow row = with_two_finished(options);
  static_cast<void>(row.advance({{0, kEnd, -1.5}, {1, 7, -1.6}, {0, 8, -1.7}}));  // -0.5 a token: better than -0.65
  const auto results = row.results();
  ASSERT_EQ(results.size(), 2U);
  EXPECT_DOUBLE_EQ(results[0].score, -0.5);
  EXPECT_EQ(results[0].tokens, (std::vector<int64_t>{4, 5}));
}

}  // namespace
}  // namespace everlong::generate
