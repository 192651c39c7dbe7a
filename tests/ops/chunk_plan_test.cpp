#include "everlong/ops/chunk_attention/chunk_plan.h"

#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "everlong/base/error.h"

namespace everlong::ops {
namespace {

using Pieces = std::vector<AttentionPiece>;

AttentionPiece piece(int64_t row, int64_t query_begin, int64_t query_len, int64_t key_begin, int64_t key_len) {
  return {.row = row, .query_begin = query_begin, .query_len = query_len, .key_begin = key_begin, .key_len = key_len};
}

TEST(ChunkPlan, CutsFullChunksAndARaggedTail) {
  const ChunkPlan plan = plan_chunks(2, 10, {.chunk_size = 4});
  EXPECT_EQ(plan.pieces, (Pieces{piece(-1, 0, 4, 0, 4), piece(-1, 4, 4, 4, 4), piece(-1, 8, 2, 8, 2)}));
  EXPECT_EQ(plan.max_key_len, 4);
  EXPECT_EQ(plan.cache_len, 0);
  EXPECT_EQ(plan.next_past_len, (std::vector<int64_t>{2, 2}));
}

TEST(ChunkPlan, WithoutAChunkSizeADocumentIsOneChunk) {
  const ChunkPlan plan = plan_chunks(1, 10, {.past_len = {90}, .document_starts = {{7}}});
  EXPECT_EQ(plan.pieces, (Pieces{piece(-1, 0, 7, 0, 97), piece(-1, 7, 3, 97, 3)}));
  EXPECT_EQ(plan.next_past_len, (std::vector<int64_t>{3}));
}

TEST(ChunkPlan, FinishesTheChunkThatTheCacheBegan) {
  const ChunkPlan plan = plan_chunks(2, 6, {.chunk_size = 4, .past_len = {3, 3}});
  EXPECT_EQ(plan.pieces, (Pieces{piece(-1, 0, 1, 0, 4), piece(-1, 1, 4, 4, 4), piece(-1, 5, 1, 8, 1)}));
  EXPECT_EQ(plan.cache_len, 3);
  EXPECT_EQ(plan.next_past_len, (std::vector<int64_t>{1, 1}));
}

TEST(ChunkPlan, RowsWithAShorterPastReadTheEndOfTheCache) {
  const ChunkPlan plan = plan_chunks(2, 1, {.chunk_size = 4, .past_len = {3, 1}});
  EXPECT_EQ(plan.pieces, (Pieces{piece(0, 0, 1, 0, 4), piece(1, 0, 1, 2, 2)}));
  EXPECT_EQ(plan.next_past_len, (std::vector<int64_t>{0, 2}));
}

TEST(ChunkPlan, ADocumentStartBeginsAChunkAndDropsTheCache) {
  const ChunkPlan plan = plan_chunks(2, 6, {.chunk_size = 4, .past_len = {2, 2}, .document_starts = {{0}, {5}}});
  EXPECT_EQ(plan.pieces, (Pieces{piece(0, 0, 4, 2, 4), piece(0, 4, 2, 6, 2), piece(1, 0, 2, 0, 4), piece(1, 2, 3, 4, 3), piece(1, 5, 1, 7, 1)}));
  EXPECT_EQ(plan.next_past_len, (std::vector<int64_t>{2, 1}));
}

TEST(ChunkPlan, RefusesWhatCannotBeMeant) {
  const auto refuses = [](int64_t batch_size, int64_t seq_len, const ChunkPlanOptions& options, const std::string& part) {
    try {
      static_cast<void>(plan_chunks(batch_size, seq_len, options));
      ADD_FAILURE() << "accepted: " << part;
    } catch (const InvalidArgument& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  };
  refuses(0, 4, {}, "batch_size >= 1");
  refuses(1, 0, {}, "seq_len >= 1");
  refuses(1, 4, {.chunk_size = 0}, "chunk_size >= 1");
  refuses(2, 4, {.past_len = {1}}, "past_len of no or of each batch row");
  refuses(1, 4, {.past_len = {-1}}, "0 <= past_len");
  refuses(1, 4, {.past_len = {std::numeric_limits<int64_t>::max()}}, "past_len <= 2^40");
  refuses(1, 4, {.chunk_size = 4, .past_len = {4}}, "past_len < chunk_size = 4");
  refuses(2, 4, {.document_starts = {{1}}}, "document_starts of no or of each batch row");
  refuses(1, 4, {.document_starts = {{2, 2}}}, "ascending");
  refuses(1, 4, {.document_starts = {{4}}}, "ascending");
  refuses(1, 4, {.document_starts = {{-1}}}, "ascending");
}

}  // namespace
}  // namespace everlong::ops
