#include "everlong/data/token_stream.h"

#include <gtest/gtest.h>

#include "tests/data/support.h"

namespace everlong::data {
namespace {

struct ReadRow {
  std::vector<int64_t> tokens, targets, document_ids;
  TokenStream::RowSummary summary;
};

ReadRow read(const TokenStream& stream, int64_t begin, size_t seq_len) {
  ReadRow row{std::vector<int64_t>(seq_len), std::vector<int64_t>(seq_len), std::vector<int64_t>(seq_len), {}};
  row.summary = stream.read_row(begin, {row.tokens, row.targets, row.document_ids});
  return row;
}

using Values = std::vector<int64_t>;
constexpr int64_t kNone = kNoTarget;

const Documents kDocuments = {{10, 11, 12}, {}, {20}, {30, 31}};

TEST(TokenStream, DocumentsFollowEachOtherInARing) {
  const TokenStream stream(make_corpus(kDocuments), {});
  ASSERT_EQ(stream.num_tokens(), 6);
  const ReadRow row = read(stream, 4, 8);
  EXPECT_EQ(row.tokens, (Values{30, 31, 10, 11, 12, 20, 30, 31}));
  EXPECT_EQ(row.targets, (Values{31, kNone, 11, 12, kNone, kNone, 31, kNone}));
  EXPECT_EQ(row.document_ids, (Values{0, 0, 1, 1, 1, 2, 3, 3}));
  EXPECT_TRUE(row.summary.begins_document);
  EXPECT_TRUE(row.summary.document_inside);
  EXPECT_EQ(row.summary.num_targets, 4);
}

TEST(TokenStream, ARowInsideADocumentHasNoDocumentInside) {
  const TokenStream stream(make_corpus(kDocuments), {});
  const ReadRow middle = read(stream, 1, 1);
  EXPECT_EQ(middle.targets, (Values{12}));
  EXPECT_FALSE(middle.summary.begins_document);
  EXPECT_FALSE(middle.summary.document_inside);
  const ReadRow whole = read(stream, 0, 3);  // a document begins with the row, and the next one just after it
  EXPECT_EQ(whole.targets, (Values{11, 12, kNone}));
  EXPECT_TRUE(whole.summary.begins_document);
  EXPECT_FALSE(whole.summary.document_inside);
  const ReadRow rest = read(stream, 2, 2);
  EXPECT_EQ(rest.tokens, (Values{12, 20}));
  EXPECT_FALSE(rest.summary.begins_document);
  EXPECT_TRUE(rest.summary.document_inside);
}

TEST(TokenStream, AnEndOfDocumentTokenIsReadAndPredicted) {
  const TokenStream stream(make_corpus(kDocuments), {.eos_id = 9});
  ASSERT_EQ(stream.num_tokens(), 9) << "an empty document has no end";
  const ReadRow row = read(stream, 0, 9);
  EXPECT_EQ(row.tokens, (Values{10, 11, 12, 9, 20, 9, 30, 31, 9}));
  EXPECT_EQ(row.targets, (Values{11, 12, 9, kNone, 9, kNone, 31, 9, kNone}));
  EXPECT_EQ(row.document_ids, (Values{0, 0, 0, 0, 1, 1, 2, 2, 2}));
  const ReadRow end = read(stream, 3, 2);
  EXPECT_EQ(end.tokens, (Values{9, 20}));
  EXPECT_EQ(end.targets, (Values{kNone, 9}));
  EXPECT_FALSE(end.summary.begins_document);
}

TEST(TokenStream, PredictingAcrossDocumentsLeavesNoTargetOut) {
  const TokenStream plain(make_corpus(kDocuments), {.predict_across_documents = true});
  EXPECT_EQ(read(plain, 0, 6).targets, (Values{11, 12, 20, 30, 31, 10}));
  EXPECT_EQ(read(plain, 0, 6).document_ids, (Values{0, 0, 0, 1, 2, 2}));
  const TokenStream with_end(make_corpus(kDocuments), {.eos_id = 9, .predict_across_documents = true});
  EXPECT_EQ(read(with_end, 0, 9).targets, (Values{11, 12, 9, 20, 9, 30, 31, 9, 10}));
}

TEST(TokenStream, AShuffleIsAFunctionOfItsKey) {
  TokenStream stream(make_corpus(counted_documents({3, 4, 5, 6, 7})), {});
  stream.lay_shuffled(1);
  const auto first = read(stream, 0, 25).tokens;
  stream.lay_shuffled(2);
  EXPECT_NE(read(stream, 0, 25).tokens, first);
  stream.lay_shuffled(1);
  EXPECT_EQ(read(stream, 0, 25).tokens, first);
}

}  // namespace
}  // namespace everlong::data
