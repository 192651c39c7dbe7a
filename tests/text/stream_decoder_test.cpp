#include "everlong/text/stream_decoder.h"

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/text/utf8.h"

namespace everlong::text {
namespace {

/// What the bytes of `text` give one by one, pieces separated by '|', flush() after the last '/'.
std::string stream_bytes(std::string_view bytes) {
  const auto tokenizer = make_bytes_tokenizer();
  StreamDecoder decoder(*tokenizer);
  std::string trace;
  for (const char byte : bytes) trace += decoder.push(static_cast<uint8_t>(byte)) + "|";
  return trace + "/" + decoder.flush();
}

TEST(StreamDecoder, ACharacterComesOutWithItsLastByte) { EXPECT_EQ(stream_bytes("a\u00e9\u20ac\U0001F600"), "a||\u00e9|||\u20ac||||\U0001F600|/"); }

TEST(StreamDecoder, AnUnfinishedCharacterIsReplacedOnlyAtTheEnd) { EXPECT_EQ(stream_bytes("\xF0\x9F\x98"), "|||/\uFFFD"); }

TEST(StreamDecoder, BytesAreReplacedAsSoonAsTheyAreCertainlyWrong) {
  EXPECT_EQ(stream_bytes("\xFF"
                         "a"),
            "\uFFFD|a|/");
  EXPECT_EQ(stream_bytes("\x80"), "\uFFFD|/");
  EXPECT_EQ(stream_bytes("\xE2\x82"
                         "b"),
            "||\uFFFD"
            "b|/");
  EXPECT_EQ(stream_bytes("\xC0\xAF"), "\uFFFD|\uFFFD|/");
  EXPECT_EQ(stream_bytes("\xED\xA0\x80"), "|\uFFFD\uFFFD|\uFFFD|/");
  EXPECT_EQ(stream_bytes("\xF4\x90\x80\x80"), "|\uFFFD\uFFFD|\uFFFD|\uFFFD|/");
}

TEST(StreamDecoder, ACopyContinuesOnItsOwn) {
  const auto tokenizer = make_bytes_tokenizer();
  StreamDecoder decoder(*tokenizer);
  EXPECT_EQ(decoder.push(0xC3), "");
  StreamDecoder copy = decoder;
  EXPECT_EQ(decoder.push(0xA9), "\u00e9");
  EXPECT_EQ(copy.push(0xA8), "\u00e8");
}

TEST(StreamDecoder, AnIdOutsideTheVocabularyIsRefusedAndChangesNothing) {
  const auto tokenizer = make_bytes_tokenizer();
  StreamDecoder decoder(*tokenizer);
  EXPECT_EQ(decoder.push(0xC3), "");
  EXPECT_THROW(decoder.push(256), InvalidArgument);
  EXPECT_THROW(decoder.push(-1), InvalidArgument);
  EXPECT_EQ(decoder.push(0xA9), "\u00e9");
}

TEST(StreamDecoder, RandomBytesGiveTheRepairOfTheWhole) {
  uint32_t state = 1;
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (int i = 0; i < 12; ++i) {
      state = state * 1664525 + 1013904223;
      constexpr std::string_view kNasty = "a\x80\xBF\xC2\xE0\xA0\xED\x9F\xF0\x90\xF4\x8F\xFF";
      bytes += kNasty[(state >> 16) % kNasty.size()];
    }
    std::string streamed;
    for (const char c : stream_bytes(bytes)) {
      if (c != '|' && c != '/') streamed += c;
    }
    std::string whole;
    EXPECT_EQ(append_repaired(bytes, true, whole), bytes.size());
    EXPECT_EQ(streamed, whole);
    EXPECT_TRUE(is_utf8(streamed));
  }
}

}  // namespace
}  // namespace everlong::text
