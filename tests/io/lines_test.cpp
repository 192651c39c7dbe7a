#include "everlong/io/lines.h"

#include <zlib.h>
#include <zstd.h>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "everlong/base/error.h"
#include "tests/io/support.h"
#include "tests/support/files.h"

namespace everlong::io {
namespace {

using testing::TemporaryFolder;
using testing::write_text;

std::string gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd(const std::string& text, bool with_checksum = true) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, with_checksum ? 1 : 0);
  out.resize(ZSTD_compress2(context, out.data(), out.size(), text.data(), text.size()));
  ZSTD_freeCCtx(context);
  return out;
}

std::vector<std::string> all_lines(LineReader reader) {
  std::vector<std::string> lines;
  while (const auto line = reader.next()) lines.emplace_back(*line);
  EXPECT_EQ(reader.line_number(), static_cast<int64_t>(lines.size()));
  return lines;
}

std::vector<std::string> lines_of(std::string_view text) { return all_lines(LineReader(bytes_in_memory(text), "f")); }

using Lines = std::vector<std::string>;

TEST(LineReader, EndsLinesAtLineFeedsWithOrWithoutCarriageReturn) {
  EXPECT_EQ(lines_of("a\nb\r\n\nc"), (Lines{"a", "b", "", "c"}));
  EXPECT_EQ(lines_of("a\n"), (Lines{"a"}));
  EXPECT_EQ(lines_of(""), (Lines{}));
  EXPECT_EQ(lines_of("\n"), (Lines{""}));
  EXPECT_EQ(lines_of(std::string("a\0b\rc\n", 6)), (Lines{std::string("a\0b\rc", 5)}));
}

/// About a megabyte that compresses unevenly.
std::string long_text() {
  std::string text;
  uint64_t seed = 1;
  for (int i = 0; i < 20'000; ++i) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    text += std::to_string(seed) + (i % 3 == 0 ? std::string(seed >> 58, ' ') : "") + "\n";
  }
  return text;
}

TEST(LineReader, PlainGzipAndZstdGiveTheSameLines) {
  const TemporaryFolder folder;
  const std::string text = long_text();
  write_text(folder / "a.txt", text);
  write_text(folder / "a.gz", gzip(text));
  write_text(folder / "a.zst", zstd(text));
  const auto expected = lines_of(text);
  EXPECT_EQ(expected.size(), 20'000U);
  for (const char* name : {"a.txt", "a.gz", "a.zst"}) {
    EXPECT_EQ(all_lines(LineReader(folder / name)), expected) << name;
    EXPECT_EQ(read_document(folder / name), text) << name;
  }
}

TEST(LineReader, SeveralMembersAreOneStream) {
  const TemporaryFolder folder;
  write_text(folder / "a.gz", gzip("a\nb") + gzip("") + gzip("c\n"));
  write_text(folder / "a.zst", zstd("a\nb") + zstd("") + zstd("c\n"));
  EXPECT_EQ(all_lines(LineReader(folder / "a.gz")), (Lines{"a", "bc"}));
  EXPECT_EQ(all_lines(LineReader(folder / "a.zst")), (Lines{"a", "bc"}));
}

TEST(LineReader, ALineBeyondTheLimitIsRefusedWithItsNumber) {
  const auto read = [](std::string_view text) {
    return message_of<FormatError>([&] {
      LineReader reader(bytes_in_memory(text), "f", 5);
      while (reader.next()) {
      }
    });
  };
  EXPECT_EQ(read("12345\n12345"), "nothing was thrown");
  EXPECT_EQ(read("12345\n123456\n"), "[f at 2] expected at most 5 bytes in a line, got more.");
  EXPECT_EQ(read("123456"), "[f at 1] expected at most 5 bytes in a line, got more.");
}

/// Endless text without a line end.
class EndlessSource final : public ByteSource {
 public:
  explicit EndlessSource(int64_t& served) : served_(served) {}
  size_t read(std::span<char> buffer) override {
    std::fill(buffer.begin(), buffer.end(), 'x');
    served_ += static_cast<int64_t>(buffer.size());
    return buffer.size();
  }

 private:
  int64_t& served_;
};

TEST(LineReader, AnEndlessLineIsGivenUpAtTheLimit) {
  int64_t served = 0;
  LineReader reader(std::make_unique<EndlessSource>(served), "f", 1'000'000);
  EXPECT_EQ(message_of<FormatError>([&] { (void)reader.next(); }), "[f at 1] expected at most 1000000 bytes in a line, got more.");
  EXPECT_LT(served, 1'200'000);
}

TEST(LineReader, EveryTruncationOfCompressedDataIsRefused) {
  const TemporaryFolder folder;
  const std::string text = long_text().substr(0, 300);
  for (const std::string name : {"a.gz", "a.zst"}) {
    const std::string whole = name == "a.gz" ? gzip(text) : zstd(text);
    for (size_t size = 0; size < whole.size(); ++size) {
      write_text(folder / name, whole.substr(0, size));
      const std::string message = message_of<FormatError>([&] { (void)read_document(folder / name); }, folder.path());
      const std::string kind = name == "a.gz" ? "gzip" : "zstd";
      EXPECT_EQ(message, "[/" + name + " at " + std::to_string(size) + "] expected more " + kind + " data, got the end of the file.");
    }
  }
}

TEST(LineReader, CorruptCompressedDataIsRefused) {
  const TemporaryFolder folder;
  const std::string text = long_text().substr(0, 3000);
  for (const std::string name : {"a.gz", "a.zst"}) {
    std::string whole = name == "a.gz" ? gzip(text) : zstd(text);
    const auto refusal = [&](const std::string& content) {
      write_text(folder / name, content);
      return message_of<FormatError>([&] { (void)read_document(folder / name); }, folder.path());
    };
    const std::string valid = name == "a.gz" ? "expected valid gzip data" : "expected valid zstd data";
    EXPECT_NE(refusal("plain text, not compressed").find(valid), std::string::npos);
    EXPECT_NE(refusal(whole + "trailing garbage").find(valid), std::string::npos);
    whole[whole.size() - 3] = static_cast<char>(whole[whole.size() - 3] ^ 1);
    EXPECT_NE(refusal(whole).find(valid), std::string::npos) << "the checksum";
    whole[whole.size() / 2] = static_cast<char>(whole[whole.size() / 2] ^ 0x10);
    EXPECT_TRUE(refusal(whole).starts_with("[/" + name + " at ")) << "the data";
  }
}

TEST(ReadDocument, ADocumentThatUnpacksBeyondTheLimitIsRefused) {
  const TemporaryFolder folder;
  write_text(folder / "a.gz", gzip(std::string(50'000'000, ' ')));
  EXPECT_LT(std::filesystem::file_size(folder / "a.gz"), 100'000U);
  EXPECT_EQ(message_of<FormatError>([&] { (void)read_document(folder / "a.gz", 1000); }, folder.path()),
            "[/a.gz] expected at most 1000 bytes, got more.");
}

TEST(ReadDocument, OutputThatIsLeftWhenTheInputHasEndedIsFetched) {
  const TemporaryFolder folder;
  const std::string text(1'000'000, 'x');
  write_text(folder / "a.gz", gzip(text));
  write_text(folder / "a.zst", zstd(text, false));
  EXPECT_TRUE(read_document(folder / "a.gz") == text);
  EXPECT_TRUE(read_document(folder / "a.zst") == text);
}

TEST(ReadDocument, AMissingFileIsAnIoError) {
  for (const char* name : {"/missing", "/missing.gz", "/missing.zst"}) {
    EXPECT_EQ(message_of<IoError>([&] { (void)read_document(name); }), std::string("[") + name + "] cannot open: No such file or directory.");
  }
}

RC_GTEST_PROP(LineReader, LinesJoinedAgainAreTheText, (const std::vector<std::string>& parts)) {
  std::string text;
  for (std::string part : parts) {
    std::erase_if(part, [](char letter) { return letter == '\r'; });
    text += part + '\n';
  }
  std::string joined;
  for (const auto& line : lines_of(text)) joined += line + '\n';
  RC_ASSERT(joined == text);
}

}  // namespace
}  // namespace everlong::io
