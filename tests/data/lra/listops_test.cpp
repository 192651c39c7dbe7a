#include "everlong/data/lra/listops.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/data/lra/byte_text.h"
#include "tests/support/message.h"

namespace everlong::data {
namespace {

using testing::message_of;

const FileLocation kHere{.file = "x.tsv", .offset = 2, .field = "Source"};

TEST(ListOps, ValuesAreThoseOfTheLanguage) {
  const std::vector<std::pair<const char*, int64_t>> cases = {
      {"7", 7},
      {"[MAX 2 9 [MIN 4 7 ] 0 ]", 9},  // the example of the paper
      {"[MIN 3 8 5 ]", 3},
      {"[MED 9 1 5 ]", 5},
      {"[MED 1 2 9 4 ]", 3},  // the mean of 2 and 4
      {"[MED 1 4 ]", 2},      // 2.5, rounded down
      {"[SM 9 8 7 ]", 4},
      {"[SM [MAX 1 2 ] [MED 0 9 9 ] 9 ]", 0},
  };
  for (const auto& [text, value] : cases) EXPECT_EQ(listops_value(text, kHere), value) << text;
}

TEST(ListOps, ExamplesHaveTheLengthAndTheValueTheySay) {
  for (const ListOpsOptions& options : {ListOpsOptions{}, ListOpsOptions{.max_depth = 3, .max_args = 3, .min_len = 1, .max_len = 12, .seed = 5}}) {
    for (int64_t number = 0; number < 200; ++number) {
      const ListOpsExample example = make_listops(options, number);
      const auto ids = listops_ids(example.text, kHere);
      EXPECT_EQ(std::ssize(ids), example.len);
      EXPECT_GE(example.len, options.min_len);
      EXPECT_LE(example.len, options.max_len);
      EXPECT_EQ(listops_value(example.text, kHere), example.value);
      int64_t depth = 1, deepest = 1;
      for (const int32_t id : ids) {
        EXPECT_TRUE(id >= 1 && id < kListOpsVocabSize);
        depth += id < 5 ? 1 : id == 5 ? -1 : 0;
        deepest = std::max(deepest, depth);
      }
      EXPECT_LE(deepest, options.max_depth);
    }
  }
}

TEST(ListOps, TheGrammarHasTheSharesItShould) {
  // With free lengths a place above the last depth is an operator with probability value_share; at depth 2 of 2 there are digits only.
  const ListOpsOptions options{.max_depth = 2, .max_args = 10, .min_len = 1, .max_len = 100};
  std::array<double, 16> counts{};
  std::array<double, 100> args{};
  double operators = 0;
  constexpr int64_t kExamples = 20000;
  for (int64_t number = 0; number < kExamples; ++number) {
    const auto ids = listops_ids(make_listops(options, number).text, kHere);
    for (const int32_t id : ids) ++counts[static_cast<size_t>(id)];
    if (ids.size() == 1) continue;
    ++operators;
    ++args[ids.size() - 2];
  }
  EXPECT_NEAR(operators / kExamples, 0.25, 4 * std::sqrt(0.25 * 0.75 / kExamples));
  const auto expect_uniform = [](auto first, auto last, double bound) {
    double total = 0, sum = 0;
    for (auto at = first; at != last; ++at) total += *at;
    const double mean = total / static_cast<double>(last - first);
    for (auto at = first; at != last; ++at) sum += (*at - mean) * (*at - mean) / mean;
    EXPECT_LT(sum, bound);
  };
  // Chi-square at p = 0.001.
  expect_uniform(counts.begin() + 1, counts.begin() + 5, 16.3);
  expect_uniform(counts.begin() + 6, counts.end(), 27.9);
  expect_uniform(args.begin() + 2, args.begin() + 11, 26.2);
  EXPECT_EQ(std::accumulate(args.begin() + 11, args.end(), args[0] + args[1]), 0);
  EXPECT_EQ(counts[0], 0);
}

TEST(ListOps, EveryValueIsAClass) {
  std::set<int64_t> values;
  for (int64_t number = 0; number < 300; ++number) values.insert(make_listops({}, number).value);
  EXPECT_EQ(values.size(), 10u);
}

TEST(ListOps, SeedAndNumberDecideAlone) {
  const ListOpsExample first = make_listops({.seed = 3}, 7);
  (void)make_listops({.seed = 3}, 8);
  EXPECT_EQ(make_listops({.seed = 3}, 7).text, first.text);
  EXPECT_NE(make_listops({.seed = 3}, 8).text, first.text);
  EXPECT_NE(make_listops({.seed = 4}, 7).text, first.text);
}

TEST(ListOps, TextThatIsNoExpressionIsRefused) {
  const auto says = [](const char* text) { return message_of<FormatError>([&] { (void)listops_value(text, kHere); }); };
  EXPECT_EQ(says("[AVG 1 2 ]"), "[x.tsv at 2, Source] expected [MIN, [MAX, [MED, [SM, ] or a digit, got '[AVG'.");
  EXPECT_EQ(says("12"), "[x.tsv at 2, Source] expected [MIN, [MAX, [MED, [SM, ] or a digit, got '12'.");
  EXPECT_EQ(says("[MAX ]"), "[x.tsv at 2, Source] expected an operator with arguments before each ], got none.");
  EXPECT_EQ(says("1 ]"), "[x.tsv at 2, Source] expected an operator with arguments before each ], got none.");
  EXPECT_EQ(says("[MAX 1"), "[x.tsv at 2, Source] expected one whole expression, got [MAX 1.");
  EXPECT_EQ(says("1 2"), "[x.tsv at 2, Source] expected one whole expression, got 1 2.");
  EXPECT_EQ(says(""), "[x.tsv at 2, Source] expected one whole expression.");
}

TEST(ListOps, OptionsOutsideTheirRangeAreRefused) {
  const auto says = [](const ListOpsOptions& options, int64_t number = 0) {
    return message_of<InvalidArgument>([&] { (void)make_listops(options, number); });
  };
  EXPECT_EQ(says({.max_depth = 1}), "[listops] expected max_depth from 2 to 64, got 1.");
  EXPECT_EQ(says({.max_args = 1}), "[listops] expected max_args from 2 to 1000, got 1.");
  EXPECT_EQ(says({.min_len = 9, .max_len = 8}), "[listops] expected 1 <= min_len <= max_len, got 9.");
  EXPECT_EQ(says({.max_len = int64_t{1} << 40}), "[listops] expected max_len <= 16777216, got 1099511627776.");
  EXPECT_EQ(says({.value_share = 0}), "[listops] expected 0 < value_share <= 1, got 0.");
  EXPECT_EQ(says({}, -1), "[listops] expected a number >= 0, got -1.");
  EXPECT_EQ(says({.max_depth = 2, .max_args = 2, .min_len = 100}),
            "[listops] expected a length from 100 to 2000 within 1000000 draws, got none. Hint: widen the lengths, or raise max_depth and max_args.");
}

TEST(ByteText, BytesFollowThePadding) {
  EXPECT_EQ(byte_text_ids("a\xff\0", 10), (std::vector<int32_t>{98, 256}));
  EXPECT_EQ(byte_text_ids(std::string_view("\0b", 2), 10), (std::vector<int32_t>{1, 99}));
  EXPECT_EQ(byte_text_ids("abc", 2).size(), 2u);
  EXPECT_TRUE(byte_text_ids("abc", -1).empty());
}

}  // namespace
}  // namespace everlong::data
