#include "everlong/nn/token_spans.h"

#include <gtest/gtest.h>

#include "everlong/tensor/torch.h"

namespace everlong::nn {
namespace {

using ops::AttentionPiece;

/// Pieces of chunks of `chunk` tokens in rows of `seq_len`.
ChunkWindow window(int64_t batch_size, int64_t seq_len, int64_t chunk, const std::optional<at::Tensor>& documents = std::nullopt) {
  return plan_window(plan_sequence(batch_size, seq_len, {}, std::nullopt, documents), chunk, std::nullopt, {});
}

void expect_spans(const std::vector<TokenSpan>& spans, const std::vector<TokenSpan>& expected) {
  ASSERT_EQ(spans.size(), expected.size());
  for (size_t i = 0; i < spans.size(); ++i) {
    EXPECT_EQ(spans[i].row, expected[i].row) << i;
    EXPECT_EQ(spans[i].rows, expected[i].rows) << i;
    EXPECT_EQ(spans[i].begin, expected[i].begin) << i;
    EXPECT_EQ(spans[i].len, expected[i].len) << i;
  }
}

TEST(TokenSpans, LongRowsAreCutBetweenChunks) {
  expect_spans(plan_spans(window(2, 27, 4), 2, 27, 10),
               {{0, 1, 0, 8}, {0, 1, 8, 8}, {0, 1, 16, 8}, {0, 1, 24, 3}, {1, 1, 0, 8}, {1, 1, 8, 8}, {1, 1, 16, 8}, {1, 1, 24, 3}});
}

TEST(TokenSpans, ShortRowsStayWholeAndTogether) { expect_spans(plan_spans(window(5, 8, 4), 5, 8, 17), {{0, 2, 0, 8}, {2, 2, 0, 8}, {4, 1, 0, 8}}); }

TEST(TokenSpans, AChunkLongerThanASpanIsNotCut) {
  expect_spans(plan_spans(window(1, 20, 8), 1, 20, 3), {{0, 1, 0, 8}, {0, 1, 8, 8}, {0, 1, 16, 4}});
  EXPECT_TRUE(plan_spans(window(1, 20, 32), 1, 20, 3).empty());
}

TEST(TokenSpans, CutsFollowTheChunksOfPackedDocuments) {
  const at::Tensor documents = at::zeros({1, 12}, at::kLong);
  documents.narrow(1, 5, 7).fill_(1);  // chunks of 4: 4 and 1 of the first document, 4 and 3 of the second
  expect_spans(plan_spans(window(1, 12, 4, documents), 1, 12, 4), {{0, 1, 0, 4}, {0, 1, 4, 1}, {0, 1, 5, 4}, {0, 1, 9, 3}});
}

TEST(TokenSpans, ShortCallsAndCallsThatSeeThePastAreOneSpan) {
  EXPECT_TRUE(plan_spans(window(1, 16, 4), 1, 16, 16).empty());
  ChunkWindow past = window(1, 16, 4);
  past.past = 1;
  EXPECT_TRUE(plan_spans(past, 1, 16, 4).empty());
}

TEST(TokenSpans, TheWindowOfASpanCountsFromItsFirstToken) {
  ChunkWindow all = window(2, 8, 4);
  all.valid = at::tensor({1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0}, at::kByte).view({2, 8}).to(at::kBool);
  all.pieces = {{.row = -1, .query_begin = 0, .query_len = 4, .key_begin = 0, .key_len = 4},
                {.row = 1, .query_begin = 4, .query_len = 4, .key_begin = 4, .key_len = 4}};
  const ChunkWindow part = window_of(all, {.row = 1, .rows = 1, .begin = 4, .len = 4});
  const AttentionPiece expected{.row = 0, .query_begin = 0, .query_len = 4, .key_begin = 0, .key_len = 4};
  EXPECT_EQ(part.pieces, std::vector<AttentionPiece>{expected});
  EXPECT_TRUE(at::equal(*part.valid, at::tensor({1, 1, 0, 0}, at::kByte).view({1, 4}).to(at::kBool)));
  EXPECT_EQ(part.longest, all.longest);
}

}  // namespace
}  // namespace everlong::nn
