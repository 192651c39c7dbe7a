#include "everlong/data/evaluation_stream.h"

#include <cmath>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/data/token_stream.h"
#include "everlong/tensor/torch.h"
#include "tests/data/support.h"

namespace everlong::data {
namespace {

using testing::message_of;

using Values = std::vector<int64_t>;
constexpr int64_t kNone = kNoTarget;

void expect_segment(const std::optional<EvaluationSegment>& segment, int64_t document, const Values& tokens, const Values& targets, bool begins,
                    bool ends) {
  ASSERT_TRUE(segment);
  EXPECT_EQ(segment->document, document);
  EXPECT_EQ(segment->tokens.sizes(), (at::IntArrayRef{1, std::ssize(tokens)}));
  EXPECT_EQ(values_of(segment->tokens), tokens);
  EXPECT_EQ(values_of(segment->targets), targets);
  EXPECT_EQ(segment->begins_document, begins);
  EXPECT_EQ(segment->ends_document, ends);
  EXPECT_EQ(segment->num_targets, std::ssize(targets) - std::count(targets.begin(), targets.end(), kNone));
}

TEST(EvaluationStream, EveryDocumentComesOnceInSegments) {
  EvaluationStream stream(make_corpus({{}, {1, 2, 3, 4, 5, 6}, {}, {7}, {8, 9, 10, 11}, {}}), 4);
  expect_segment(stream.next(), 1, {1, 2, 3, 4}, {2, 3, 4, 5}, true, false);
  expect_segment(stream.next(), 1, {5, 6}, {6, kNone}, false, true);
  expect_segment(stream.next(), 3, {7}, {kNone}, true, true);
  expect_segment(stream.next(), 4, {8, 9, 10, 11}, {9, 10, 11, kNone}, true, true);
  EXPECT_FALSE(stream.next());
  EXPECT_FALSE(stream.next());
}

TEST(EvaluationStream, TheRestOfADocumentCanBeSkipped) {
  EvaluationStream stream(make_corpus({{1, 2, 3}, {4, 5}}), 2);
  expect_segment(stream.next(), 0, {1, 2}, {2, 3}, true, false);
  stream.skip_document();
  expect_segment(stream.next(), 1, {4, 5}, {5, kNone}, true, true);
  stream.skip_document();
  stream.skip_document();
  EXPECT_FALSE(stream.next());
}

TEST(EvaluationStream, WhatCannotBeReadIsRefused) {
  EXPECT_EQ(message_of<InvalidArgument>([] { EvaluationStream(nullptr, 4); }), "[data] expected a corpus, got none.");
  EXPECT_EQ(message_of<InvalidArgument>([] { EvaluationStream(make_corpus({}), 0); }), "[data] expected seq_len >= 1, got 0.");
}

TEST(BitsPerByte, AUniformGuessAmongBytesCostsEightBits) {
  EXPECT_DOUBLE_EQ(bits_per_byte(100 * std::log(256.0), 100), 8.0);
  EXPECT_EQ(message_of<InvalidArgument>([] { (void)bits_per_byte(1, 0); }), "[bits_per_byte] expected bytes >= 1, got 0.");
}

}  // namespace
}  // namespace everlong::data
