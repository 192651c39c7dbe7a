#include "everlong/data/megatron_index.h"

#include <cstring>
#include <functional>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/io/mapped_file.h"
#include "tests/data/support.h"
#include "tests/support/files.h"

namespace everlong::data {
namespace {

using testing::message_of;

using Values = std::vector<int64_t>;
using Bytes = std::vector<std::byte>;

/// Three documents of 3, 1 and 5 tokens: 34 bytes of header, lengths from 34, pointers from 46, boundaries from 70, 102 in all.
Bytes good_index() { return write_megatron_index({.type = TokenType::u16, .document_lens = {3, 1, 5}}); }

template <class T>
void put(Bytes& bytes, size_t offset, T value) {
  std::memcpy(&bytes.at(offset), &value, sizeof(T));
}

template <class E = FormatError>
std::string refusal(const std::function<void(Bytes&)>& change) {
  Bytes bytes = good_index();
  change(bytes);
  return message_of<E>([&] { (void)parse_megatron_index(bytes, "a.idx"); });
}

TEST(MegatronIndex, ReadsTheFileOfAnIndependentWriter) {
  const io::MappedFile file(testing::source_path("tests/data/megatron_sample.idx"));
  const MegatronIndex index = parse_megatron_index(file.bytes(), "megatron_sample.idx");
  EXPECT_EQ(index.type, TokenType::u16);
  EXPECT_EQ(index.document_lens, (Values{3, 1, 0, 5}));
  EXPECT_EQ(index.num_tokens(), 9);
}

TEST(MegatronIndex, WritesWhatItReads) {
  for (const Values& lens : {Values{}, Values{0}, Values{3, 1, 5}, Values{0, 0, 7, 0}, Values{(int64_t{5} << 30) + 3, 2, int64_t{1} << 30}}) {
    for (const TokenType type : {TokenType::u8, TokenType::i8, TokenType::i16, TokenType::i32, TokenType::i64, TokenType::u16}) {
      const MegatronIndex index = parse_megatron_index(write_megatron_index({.type = type, .document_lens = lens}), "a.idx");
      EXPECT_EQ(index.type, type);
      EXPECT_EQ(index.document_lens, lens);
    }
  }
  EXPECT_EQ(message_of<InvalidArgument>([] { (void)write_megatron_index({.document_lens = {-1}}); }),
            "[megatron] expected document lengths >= 0, got -1.");
}

TEST(MegatronIndex, LiesInTheHeaderAreRefused) {
  EXPECT_EQ(refusal([](Bytes& b) { put(b, 0, 'X'); }),
            "[a.idx at 0, magic] expected MMIDIDX, got XMIDIDX\\x00\\x00. Hint: PREFIX.idx is the index, PREFIX.bin the tokens.");
  EXPECT_EQ(refusal([](Bytes& b) { b.resize(33); }), "[a.idx at 33, header] expected 34 bytes, got 33.");
  EXPECT_EQ(refusal([](Bytes& b) { b.clear(); }), "[a.idx at 0, header] expected 34 bytes, got 0.");
  EXPECT_EQ(refusal([](Bytes& b) { put<uint64_t>(b, 9, 2); }), "[a.idx at 9, version] expected 1, got 2.");
  EXPECT_EQ(refusal([](Bytes& b) { put<uint8_t>(b, 17, 0); }), "[a.idx at 17, dtype] expected a code in [1, 8], got 0.");
  EXPECT_EQ(refusal([](Bytes& b) { put<uint8_t>(b, 17, 9); }), "[a.idx at 17, dtype] expected a code in [1, 8], got 9.");
  EXPECT_EQ(refusal<Unsupported>([](Bytes& b) { put<uint8_t>(b, 17, 7); }),
            "[a.idx] expected tokens of an integer type, got float32. Hint: this dataset holds no token ids.");
}

TEST(MegatronIndex, LiesAboutCountsAreRefused) {
  const auto sequences = [](uint64_t n) { return refusal([n](Bytes& b) { put(b, 18, n); }); };
  EXPECT_EQ(sequences(6), "[a.idx at 18, sequence count] expected at most 5 in 102 bytes, got 6.");
  EXPECT_EQ(sequences(~uint64_t{0}), "[a.idx at 18, sequence count] expected at most 5 in 102 bytes, got 18446744073709551615.");
  EXPECT_EQ(sequences(uint64_t{0x1555555555555557}), "[a.idx at 18, sequence count] expected at most 5 in 102 bytes, got 1537228672809129303.")
      << "12 times this wraps to 20";
  const auto documents = [](uint64_t n) { return refusal([n](Bytes& b) { put(b, 26, n); }); };
  EXPECT_EQ(documents(0), "[a.idx at 26, document count] expected from 1 to 4 in 102 bytes, got 0.");
  EXPECT_EQ(documents(5), "[a.idx at 26, document count] expected from 1 to 4 in 102 bytes, got 5.");
  EXPECT_EQ(documents(uint64_t{1} << 61), "[a.idx at 26, document count] expected from 1 to 4 in 102 bytes, got 2305843009213693952.");
  EXPECT_EQ(documents(3), "[a.idx at 94, size] expected 94 bytes, got 102.");
  EXPECT_EQ(refusal([](Bytes& b) { b.push_back(std::byte{0}); }), "[a.idx at 102, size] expected 102 bytes, got 103.");
  EXPECT_EQ(refusal<Unsupported>([](Bytes& b) { b.resize(b.size() + 3); }),
            "[a.idx] expected sequences of text, got a multimodal index. Hint: pack the text alone.");
}

TEST(MegatronIndex, LiesAboutSequencesAreRefused) {
  EXPECT_EQ(refusal([](Bytes& b) { put<int32_t>(b, 38, -1); }), "[a.idx at 38, length of sequence 1] expected at least 0, got -1.");
  EXPECT_EQ(refusal([](Bytes& b) { put<int32_t>(b, 34, 4); }), "[a.idx at 54, pointer of sequence 1] expected 8, got 6.");
  const auto pointer = [](int64_t value) { return refusal([value](Bytes& b) { put(b, 62, value); }); };
  EXPECT_EQ(pointer(7), "[a.idx at 62, pointer of sequence 2] expected 8, got 7.");
  EXPECT_EQ(pointer(-8), "[a.idx at 62, pointer of sequence 2] expected 8, got -8.");
  EXPECT_EQ(pointer(std::numeric_limits<int64_t>::max()), "[a.idx at 62, pointer of sequence 2] expected 8, got 9223372036854775807.");
}

TEST(MegatronIndex, LiesAboutDocumentsAreRefused) {
  const auto boundary = [](size_t i, int64_t value) { return refusal([i, value](Bytes& b) { put(b, 70 + 8 * i, value); }); };
  EXPECT_EQ(boundary(0, 1), "[a.idx at 70, document boundary 0] expected 0, got 1.");
  EXPECT_EQ(boundary(1, -1), "[a.idx at 78, document boundary 1] expected from 0 to 3, got -1.");
  EXPECT_EQ(boundary(1, 4), "[a.idx at 78, document boundary 1] expected from 0 to 3, got 4.");
  EXPECT_EQ(boundary(1, 3), "[a.idx at 86, document boundary 2] expected 3, got 2.") << "not ascending";
  EXPECT_EQ(boundary(3, 2), "[a.idx at 94, document boundary 3] expected 3, got 2.") << "a sequence belongs to no document";
  EXPECT_EQ(boundary(3, std::numeric_limits<int64_t>::max()), "[a.idx at 94, document boundary 3] expected 3, got 9223372036854775807.");
}

TEST(MegatronIndex, AFileCutOffAnywhereIsRefused) {
  const Bytes good = good_index();
  for (size_t size = 0; size < good.size(); ++size) {
    const std::span<const std::byte> part(good.data(), size);
    EXPECT_NE(message_of<Error>([&] { (void)parse_megatron_index(part, "a.idx"); }), "nothing was thrown") << size;
  }
}

}  // namespace
}  // namespace everlong::data
