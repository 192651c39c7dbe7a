#include "everlong/data/encode_pair.h"

#include <numeric>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "tests/support/files.h"
#include "tests/support/message.h"

namespace everlong::data {
namespace {

using testing::message_of;

using Ids = std::vector<int32_t>;

Ids tokens(int32_t first, size_t count) {
  Ids ids(count);
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

/// How many tokens of each text are kept.
std::pair<size_t, size_t> kept(size_t a, size_t b, int64_t max_len, Truncation truncation = Truncation::longest_first) {
  const EncodedPair pair = join_pair(tokens(100, a), tokens(200, b), {.max_len = max_len, .truncation = truncation});
  const size_t kept_a = pair.a.second - pair.a.first, kept_b = pair.b.second - pair.b.first;
  Ids expected = {0};
  for (size_t i = 0; i < kept_a; ++i) expected.push_back(100 + static_cast<int32_t>(i));
  expected.insert(expected.end(), {2, 2});
  for (size_t i = 0; i < kept_b; ++i) expected.push_back(200 + static_cast<int32_t>(i));
  expected.push_back(2);
  EXPECT_EQ(pair.ids, expected);
  EXPECT_EQ(pair.ids[pair.b.first - 1], 2);
  return {kept_a, kept_b};
}

using Kept = std::pair<size_t, size_t>;

TEST(JoinPair, CutsAsTheTokenizersLibraryDoes) {
  // Lengths from tokenizers 0.2x: BPE, RobertaProcessing, enable_truncation(max_len, strategy="longest_first"), encode(a, b).
  const std::vector<std::pair<size_t, size_t>> lens = {{3, 5}, {5, 3}, {3, 3}, {5, 1}};
  const std::vector<std::vector<Kept>> expected = {
      {{1, 1}, {1, 1}, {1, 1}, {1, 1}},  // max_len 6
      {{1, 2}, {2, 1}, {1, 2}, {2, 1}}, {{2, 2}, {2, 2}, {2, 2}, {3, 1}}, {{2, 3}, {3, 2}, {2, 3}, {4, 1}},
      {{3, 3}, {3, 3}, {3, 3}, {5, 1}}, {{3, 4}, {4, 3}, {3, 3}, {5, 1}}, {{3, 5}, {5, 3}, {3, 3}, {5, 1}},
  };
  for (size_t i = 0; i < expected.size(); ++i) {
    for (size_t j = 0; j < lens.size(); ++j) {
      EXPECT_EQ(kept(lens[j].first, lens[j].second, static_cast<int64_t>(i) + 6), expected[i][j]) << i + 6 << " " << j;
    }
  }
}

TEST(JoinPair, NeverLongerThanAllowedAndNeverShorterThanNeeded) {
  for (size_t a = 0; a < 12; ++a) {
    for (size_t b = 0; b < 12; ++b) {
      for (int64_t max_len = 6; max_len < 30; ++max_len) {
        const auto [kept_a, kept_b] = kept(a, b, max_len);
        EXPECT_EQ(kept_a + kept_b, std::min(a + b, static_cast<size_t>(max_len) - 4));
      }
    }
  }
}

TEST(JoinPair, OneTextIsCutAtItsEnd) {
  EXPECT_EQ(join_pair({7, 8, 9}, std::nullopt, {.max_len = 5}).ids, (Ids{0, 7, 8, 9, 2}));
  EXPECT_EQ(join_pair({7, 8, 9}, std::nullopt, {.max_len = 4}).ids, (Ids{0, 7, 8, 2}));
  EXPECT_EQ(join_pair({}, std::nullopt, {.max_len = 4}).ids, (Ids{0, 2}));
  EXPECT_EQ(join_pair({7}, std::nullopt, {.marks = {5, 6}, .max_len = 4}).ids, (Ids{5, 7, 6}));
  EXPECT_EQ(join_pair({7}, Ids{}, {.max_len = 6}).ids, (Ids{0, 7, 2, 2, 2}));
}

TEST(JoinPair, AQuestionIsNotCut) {
  EXPECT_EQ(kept(5, 9, 12, Truncation::only_second), (Kept{5, 3}));
  EXPECT_EQ(message_of<InvalidArgument>([] { (void)kept(8, 9, 12, Truncation::only_second); }),
            "[data] expected max_len >= 13 for a question with its context, got 12.");
  EXPECT_EQ(message_of<InvalidArgument>([] { (void)kept(8, 9, 5); }), "[data] expected max_len >= 6 for two texts, got 5.");
  EXPECT_EQ(message_of<InvalidArgument>([] { (void)join_pair({1}, std::nullopt, {.max_len = 2}); }),
            "[data] expected max_len >= 3 for a text, got 2.");
}

TEST(EncodePair, MarksComeFromTheTokenizer) {
  const auto llama = text::load_tokenizer(testing::source_path("tests/data/text/llama.json"));
  EXPECT_EQ(sequence_marks(*llama).begin, 1);
  EXPECT_EQ(sequence_marks(*llama).end, 2);
  EXPECT_EQ(
      message_of<InvalidArgument>([] { (void)sequence_marks(*text::make_bytes_tokenizer()); }),
      "[data] expected a tokenizer with a begin and an end token, as <s> and </s>, got one of kind 'bytes' that lacks the begin token. Hint: name "
      "bos_token and eos_token in tokenizer_config.json.");
  const auto bytes = text::make_bytes_tokenizer();
  EXPECT_EQ(encode_pair(*bytes, "ab", "c", {.max_len = 20}).ids, (Ids{0, 'a', 'b', 2, 2, 'c', 2}));
}

TEST(TokenEnds, AreTheBytesBehindEachToken) {
  const auto gpt2 = text::load_tokenizer(testing::source_path("assets/gpt2"));
  const std::string context = "The caf\xc3\xa9 of Ann  Smith.";
  const auto ids = gpt2->encode(context, {.add_special = false});
  const auto ends = token_ends(*gpt2, context, ids);
  ASSERT_EQ(ends.size(), ids.size());
  size_t begin = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(gpt2->token_bytes(ids[i]), context.substr(begin, ends[i] - begin));
    begin = ends[i];
  }
  EXPECT_EQ(begin, context.size());
  EXPECT_THROW((void)token_ends(*gpt2, "another text", ids), Unsupported);
}

}  // namespace
}  // namespace everlong::data
