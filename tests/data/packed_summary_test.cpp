#include "everlong/data/packed_summary.h"

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "tests/data/support.h"
#include "tests/support/files.h"

namespace everlong::data {
namespace {

using testing::message_of;

using Path = std::filesystem::path;

/// A folder with a copy of the Megatron sample: documents of 3, 1, 0 and 5 tokens of two bytes.
class PackedSummaryTest : public ::testing::Test {
 protected:
  PackedSummaryTest() {
    for (const char* ending : {".bin", ".idx"})
      std::filesystem::copy_file(testing::source_path(std::string("tests/data/megatron_sample") + ending), folder_ / (std::string("a") + ending));
  }
  template <class E = FormatError>
  std::string refusal(const Path& path) {
    return message_of<E>([&] { (void)summarize_packed(path); }, folder_.path().string());
  }

  testing::TemporaryFolder folder_;
};

TEST_F(PackedSummaryTest, TheIndexSaysWhatAMegatronCorpusHolds) {
  for (const char* name : {"a", "a.bin", "a.idx"}) {
    const PackedSummary summary = summarize_packed(folder_ / name);
    EXPECT_EQ(summary.prefix, folder_ / "a");
    EXPECT_EQ(summary.kind, PackedKind::megatron);
    EXPECT_EQ(summary.type, TokenType::u16);
    EXPECT_EQ(summary.num_tokens, 9);
    EXPECT_EQ(summary.num_documents, 4);
    EXPECT_EQ(summary.longest_document, 5);
    EXPECT_EQ(summary.token_bytes, 18);
    EXPECT_FALSE(summary.info);
    EXPECT_FALSE(summary.text_bytes);
    EXPECT_FALSE(summary.bytes_per_token());
  }
}

TEST_F(PackedSummaryTest, TheDescriptionBesideItAddsTheBytesOfText) {
  write_packed_file_info(folder_ / "a.json", {.tokenizer = "f00d", .vocab_size = 300, .sources = {"x.txt"}, .document_bytes = {7, 1, 0, 19}});
  const PackedSummary summary = summarize_packed(folder_ / "a");
  ASSERT_TRUE(summary.info);
  EXPECT_EQ(summary.info->tokenizer, "f00d");
  EXPECT_EQ(summary.text_bytes, 27);
  EXPECT_EQ(summary.bytes_per_token(), 3.0);
}

TEST_F(PackedSummaryTest, ADescriptionOfOtherDocumentsIsRefused) {
  write_packed_file_info(folder_ / "a.json", {.tokenizer = "f00d", .vocab_size = 300, .sources = {}, .document_bytes = {7, 1, 0}});
  EXPECT_EQ(refusal(folder_ / "a").substr(0, 65), "[/a.json, document_bytes] expected 4 documents, got 3. Hint: the ");
}

TEST_F(PackedSummaryTest, WithoutAnIndexTokensAreNanoGptsAndOneDocument) {
  std::filesystem::remove(folder_ / "a.idx");
  const PackedSummary summary = summarize_packed(folder_ / "a");
  EXPECT_EQ(summary.kind, PackedKind::nanogpt);
  EXPECT_EQ(summary.num_tokens, 9);
  EXPECT_EQ(summary.longest_document, 9);
  EXPECT_EQ(summary.num_documents, 1);
}

TEST_F(PackedSummaryTest, AnEmptyFileIsACorpusWithoutTokens) {
  testing::write_text(folder_ / "empty.bin", "");
  write_packed_file_info(folder_ / "empty.json", {.tokenizer = "f00d", .vocab_size = 300, .sources = {}, .document_bytes = {0}});
  const PackedSummary summary = summarize_packed(folder_ / "empty.bin");
  EXPECT_EQ(summary.num_tokens, 0);
  EXPECT_FALSE(summary.bytes_per_token());  // no division by zero
}

TEST_F(PackedSummaryTest, SizesThatDoNotFitAreRefused) {
  testing::write_text(folder_ / "odd.bin", "abc");
  EXPECT_EQ(refusal(folder_ / "odd.bin"),
            "[/odd.bin at 3, size] expected an even number of bytes (nanoGPT's uint16 tokens), got 3. Hint: a Megatron dataset needs its .idx file "
            "beside it.");
  for (const int64_t size : {0, 16, 20}) {
    std::filesystem::resize_file(folder_ / "a.bin", static_cast<uintmax_t>(size));
    EXPECT_NE(refusal(folder_ / "a").find("expected 18 bytes, as a.idx says"), std::string::npos) << size;
  }
}

TEST_F(PackedSummaryTest, FilesThatAreMissingAreNamed) {
  EXPECT_NE(refusal<IoError>(folder_ / "nothing").find("[/nothing] cannot open"), std::string::npos);
  std::filesystem::remove(folder_ / "a.bin");
  EXPECT_NE(refusal<IoError>(folder_ / "a.idx").find("[/a.bin] cannot open"), std::string::npos);
}

TEST_F(PackedSummaryTest, APrefixIsRecognisedByTheNamesOfFilesThatAreThere) {
  EXPECT_EQ(packed_prefix(folder_ / "a.idx"), folder_ / "a");
  EXPECT_EQ(packed_prefix(folder_ / "a"), folder_ / "a");
  EXPECT_EQ(packed_prefix(folder_ / "b.bin"), std::nullopt);
  std::filesystem::create_directory(folder_ / "c.bin");
  EXPECT_EQ(packed_prefix(folder_ / "c"), std::nullopt);
  std::filesystem::rename(folder_ / "a.bin", folder_ / "v1.5.bin");
  EXPECT_EQ(packed_prefix(folder_ / "v1.5"), folder_ / "v1.5");  // a dot in the prefix is no ending
}

}  // namespace
}  // namespace everlong::data
