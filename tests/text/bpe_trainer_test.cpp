#include "everlong/text/bpe_trainer.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/text/tokenizer.h"

namespace everlong::text {
namespace {

BpeDefinition train(std::vector<std::string_view> texts, int64_t vocab_size, const BpeTrainerOptions& options = {}) {
  return train_bpe(texts, vocab_size, options);
}

std::vector<std::string> merged_spellings(const BpeDefinition& definition) {
  std::vector<std::string> spellings;
  for (const BpeMerge& merge : definition.merges) spellings.push_back(definition.vocabulary[static_cast<size_t>(merge.result)].spelling);
  return spellings;
}

TEST(TrainBpe, TheMostFrequentPairIsMergedFirstAndCountsFollowTheMerges) {
  // Words: "low" x5, " low" x0 ...: (l,o) 7, (o,w) 7 tie on count; l < o in ids, so (l,o) goes first; then (lo,w) 7, (e,r) 2, (low,er) 2.
  const auto definition = train({"low", "low", "low", "low", "low", "lower", "lower"}, 256 + 4);
  EXPECT_EQ(merged_spellings(definition), (std::vector<std::string>{"lo", "low", "er", "lower"}));
}

TEST(TrainBpe, OverlappingPairsAreCountedAsTheyCanBeMerged) {
  const auto definition = train({"aaaa", "aaaa"}, 256 + 5);
  EXPECT_EQ(merged_spellings(definition), (std::vector<std::string>{"aa", "aaaa"}));
}

TEST(TrainBpe, OrderOfTextsDoesNotMatter) {
  const std::vector<std::string_view> texts{"the cat sat on the mat", "the dog ate the cat's food", "a mat, a cat, a dog"};
  std::vector<std::string_view> reversed(texts.rbegin(), texts.rend());
  EXPECT_EQ(fingerprint_of(train_bpe(texts, 300)), fingerprint_of(train_bpe(reversed, 300)));
}

TEST(TrainBpe, MergesNeverCrossAWordBoundary) {
  const auto definition = train({"ab ab ab ab ab", "ab\nab\nab"}, 300);
  for (const std::string& spelling : merged_spellings(definition)) EXPECT_EQ(spelling.find("b\u0120"), std::string::npos) << spelling;
}

TEST(TrainBpe, AVocabularyStaysSmallerWhereTheTextHasTooFewPairs) {
  EXPECT_EQ(train({"abc"}, 400).vocabulary.size(), 256u);
  EXPECT_EQ(train({"abc"}, 400, {.min_pair_count = 1}).vocabulary.size(), 258u);
}

TEST(TrainBpe, SpecialTokensComeFirstAndAreFoundInText) {
  const auto tokenizer = make_bpe_tokenizer(train({"<|end|> <|end|> <|end|>"}, 300, {.special_tokens = {"<|end|>", "<pad>"}}));
  EXPECT_EQ(tokenizer->token_id("<|end|>"), 0);
  EXPECT_EQ(tokenizer->token_id("<pad>"), 1);
  const auto ids = tokenizer->encode("a<|end|>a");
  EXPECT_EQ(ids.size(), 3u);
  EXPECT_EQ(ids[1], 0);
  EXPECT_EQ(tokenizer->decode(ids), "aa");
  const auto plain = tokenizer->encode("a<|end|>a", {.parse_special = false});
  EXPECT_EQ(std::count(plain.begin(), plain.end(), 0), 0);
  EXPECT_EQ(tokenizer->decode(plain), "a<|end|>a");
}

TEST(TrainBpe, EveryByteRoundTrips) {
  const auto tokenizer = make_bpe_tokenizer(train({"some text to learn from, some text"}, 280));
  std::string bytes;
  for (int i = 0; i < 1024; ++i) bytes += static_cast<char>(i * 7 ^ i >> 3);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(bytes)), bytes);
}

TEST(TrainBpe, ArgumentsThatCannotBeMeantAreRefused) {
  EXPECT_THROW((void)train({"abc"}, 255), InvalidArgument);
  EXPECT_THROW((void)train({"abc"}, 256, {.special_tokens = {"<s>"}}), InvalidArgument);
  EXPECT_THROW((void)train({"abc"}, int64_t{1} << 40), InvalidArgument);
  EXPECT_THROW((void)train({"abc"}, 300, {.special_tokens = {""}}), InvalidArgument);
  EXPECT_THROW((void)train({"abc"}, 300, {.special_tokens = {"a"}}), InvalidArgument);
  EXPECT_THROW((void)train({"abc"}, 300, {.special_tokens = {"<s>", "<s>"}}), InvalidArgument);
  EXPECT_THROW((void)train({"abc"}, 300, {.special_tokens = {"<\xff>"}}), InvalidArgument);
}

}  // namespace
}  // namespace everlong::text
