#include "everlong/io/safetensors.h"

#include <cstring>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "everlong/base/error.h"
#include "tests/io/support.h"
#include "tests/support/files.h"

namespace everlong::io {
namespace {

using testing::TemporaryFolder;

std::string with_length(uint64_t length, std::string_view rest) {
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(length >> (8 * i));
  return file + std::string(rest);
}

/// A file with this header and `data_bytes` of data.
std::string file_of(std::string_view header, size_t data_bytes) { return with_length(header.size(), header) + std::string(data_bytes, 'd'); }

std::string refusal(std::string_view file) {
  return message_of<FormatError>([&] { (void)parse_safetensors(as_bytes(file), "f"); });
}

std::string refusal(std::string_view header, size_t data_bytes) { return refusal(file_of(header, data_bytes)); }

TEST(Safetensors, AFileIsReadInTheOrderOfItsData) {
  const std::string file =
      file_of(R"({"b":{"dtype":"F32","shape":[1,2],"data_offsets":[4,12]},"__metadata__":{"k":"v"},)"
              R"("a":{"data_offsets":[0,4],"shape":[2],"dtype":"BF16"},"empty":{"dtype":"I8","shape":[0,9],"data_offsets":[4,4]}}   )",
              12);
  const auto header = parse_safetensors(as_bytes(file), "f");
  ASSERT_EQ(header.tensors.size(), 3U);
  EXPECT_EQ(header.tensors[0].name, "a");
  EXPECT_EQ(header.tensors[1].name, "empty");
  EXPECT_EQ(header.tensors[2].name, "b");
  EXPECT_EQ(header.find("b")->shape, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(header.find("b")->dtype, Dtype::F32);
  EXPECT_EQ(header.find("b")->offset + header.find("b")->size_bytes, static_cast<int64_t>(file.size()));
  EXPECT_EQ(header.metadata, (std::map<std::string, std::string>{{"k", "v"}}));
  EXPECT_EQ(header.find("c"), nullptr);
}

TEST(Safetensors, AScalarHasNoSizes) {
  const auto header = parse_safetensors(as_bytes(file_of(R"({"s":{"dtype":"F64","shape":[],"data_offsets":[0,8]}})", 8)), "f");
  EXPECT_TRUE(header.tensors.at(0).shape.empty());
}

TEST(Safetensors, ALengthThatLiesIsRefused) {
  EXPECT_EQ(refusal(""), "[f at 0, header length] expected 8 bytes, got 0.");
  EXPECT_EQ(refusal("1234567"), "[f at 0, header length] expected 8 bytes, got 7.");
  EXPECT_EQ(refusal(with_length(3, "{}")), "[f at 0, header length] expected at most the 2 bytes that follow, got 3.");
  EXPECT_EQ(refusal(with_length(~0ULL, "{}")), "[f at 0, header length] expected at most 100000000 bytes, got 18446744073709551615.");
  EXPECT_EQ(refusal(with_length(~0ULL - 7, "{}")), "[f at 0, header length] expected at most 100000000 bytes, got 18446744073709551608.");
  EXPECT_EQ(refusal(with_length(100'000'001, "{}")), "[f at 0, header length] expected at most 100000000 bytes, got 100000001.");
}

/// A header with one tensor "w" of two F32, one part of it replaced.
std::string one_tensor(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return std::string(R"({"w":{"dtype":)") + std::string(dtype) + R"(,"shape":)" + std::string(shape) + R"(,"data_offsets":)" + std::string(offsets) +
         "}}";
}

struct Lie {
  std::string header;
  std::string message;
};

void expect_refusals(const std::vector<Lie>& lies) {
  for (const Lie& lie : lies) EXPECT_EQ(refusal(lie.header, 8), lie.message) << lie.header;
}

TEST(Safetensors, AHeaderThatIsNoObjectIsRefused) {
  expect_refusals({
      {"", "[f at 8, header] expected a JSON object."},
      {" {}", "[f at 8, header] expected a JSON object, got  ."},
      {"[]", "[f at 8, header] expected a JSON object, got [."},
      {"{", "[f at 9, header] expected valid JSON, got unexpected end of input; expected string literal."},
      {"{} {}", "[f at 11, header] expected valid JSON, got unexpected '{'; expected end of input."},
      {"{}\x01", "[f at 10, header] expected valid JSON, got invalid literal; last read: '{}<U+0001>'; expected end of input."},
      {"{\"\xff\":1}",
       "[f at 10, header] expected valid JSON, got invalid string: ill-formed UTF-8 byte; last read: '\"\\xFF'; expected string literal."},
  });
}

TEST(Safetensors, ATensorThatIsDescribedWronglyIsRefused) {
  const std::string dtypes = "one of F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, BOOL, F8_E4M3, F8_E5M2";
  expect_refusals({
      {R"({"w":1})", "[f at 9, w] expected an object with dtype, shape and data_offsets, got 1."},
      {R"({"w":[]})", "[f at 9, w] expected an object with dtype, shape and data_offsets, got a list."},
      {R"({"w":{}})", "[f at 9, w.dtype] expected dtype, shape and data_offsets, got none."},
      {R"({"w":{"dtype":"F32","shape":[2]}})", "[f at 9, w.data_offsets] expected dtype, shape and data_offsets, got none."},
      {R"({"w":{"dtype":"F32","dtype":"F32"}})", "[f at 28, w.dtype] expected each key once, got a duplicate."},
      {R"({"w":{"strides":[1]}})", "[f at 14, w.strides] expected dtype, shape or data_offsets, got strides."},
      {one_tensor(R"("F33")", "[2]", "[0,8]"), "[f at 14, w.dtype] expected " + dtypes + ", got F33."},
      {one_tensor("null", "[2]", "[0,8]"), "[f at 14, w.dtype] expected " + dtypes + ", got null."},
      {one_tensor("4", "[2]", "[0,8]"), "[f at 14, w.dtype] expected " + dtypes + ", got 4."},
      {one_tensor(R"("F32")", "2", "[0,8]"), "[f at 28, w.shape] expected a list of at most 64 integers >= 0, got 2."},
      {one_tensor(R"("F32")", "[-2]", "[0,8]"), "[f at 28, w.shape] expected a list of at most 64 integers >= 0, got -2."},
      {one_tensor(R"("F32")", "[2.0]", "[0,8]"), "[f at 28, w.shape] expected a list of at most 64 integers >= 0, got 2.0."},
      {one_tensor(R"("F32")", "[[2]]", "[0,8]"), "[f at 28, w.shape] expected a list of at most 64 integers >= 0, got a list."},
      {one_tensor(R"("F32")", R"(["2"])", "[0,8]"), "[f at 28, w.shape] expected a list of at most 64 integers >= 0, got 2."},
      {one_tensor(R"("F32")", "[18446744073709551615]", "[0,8]"),
       "[f at 28, w.shape] expected a list of at most 64 integers >= 0, got 18446744073709551615."},
      {one_tensor(R"("F32")", "[4294967296,4294967296]", "[0,8]"),
       "[f at 9, w.shape] expected a size in bytes below 2^63, got F32 [4294967296, 4294967296]."},
      {one_tensor(R"("F32")", "[0,4294967296,4294967296]", "[0,0]"),
       "[f at 9, w.shape] expected a size in bytes below 2^63, got F32 [0, 4294967296, 4294967296]."},
      {one_tensor(R"("F32")", "[2]", "[0]"), "[f at 40, w.data_offsets] expected two integers >= 0, begin and end, got 1 of them."},
      {one_tensor(R"("F32")", "[2]", "[0,8,9]"), "[f at 40, w.data_offsets] expected two integers >= 0, begin and end, got 9."},
      {one_tensor(R"("F32")", "[2]", "{}"), "[f at 40, w.data_offsets] expected two integers >= 0, begin and end, got an object."},
      {one_tensor(R"("F32")", "[2]", "[-8,0]"), "[f at 40, w.data_offsets] expected two integers >= 0, begin and end, got -8."},
      {one_tensor(R"("F32")", "[2]", "[8,0]"), "[f at 9, w.data_offsets] expected begin <= end, got [8, 0]."},
      {one_tensor(R"("F32")", "[2]", "[0,9]"), "[f at 9, w.data_offsets] expected offsets within 8 bytes of data, got [0, 9]."},
      {one_tensor(R"("F32")", "[2]", "[9223372036854775800,9223372036854775807]"),
       "[f at 9, w.data_offsets] expected offsets within 8 bytes of data, got [9223372036854775800, 9223372036854775807]."},
      {one_tensor(R"("F32")", "[2]", "[0,7]"), "[f at 9, w.data_offsets] expected 8 bytes for F32 [2], got 7."},
      {one_tensor(R"("F64")", "[2]", "[0,8]"), "[f at 9, w.data_offsets] expected 16 bytes for F64 [2], got 8."},
  });
  std::string ones = "[1";
  for (int i = 0; i < 64; ++i) ones += ",1";
  EXPECT_EQ(refusal(one_tensor(R"("I64")", ones + "]", "[0,8]"), 8), "[f at 28, w.shape] expected a list of at most 64 integers >= 0, got 1.");
}

TEST(Safetensors, NamesAndMetadataThatLieAreRefused) {
  const std::string tensor = R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  expect_refusals({
      {R"({"w":)" + tensor + R"(,"w":)" + tensor + "}", "[f at 62, w] expected each name once, got a duplicate."},
      {R"({"__metadata__":{"a":1}})", "[f at 25, __metadata__.a] expected text, got 1."},
      {R"({"__metadata__":{"a":{}}})", "[f at 25, __metadata__.a] expected text, got an object."},
      {R"({"__metadata__":{"a":null}})", "[f at 25, __metadata__.a] expected text, got null."},
      {R"({"__metadata__":{"a":"x","a":"y"}})", "[f at 33, __metadata__.a] expected each key once, got a duplicate."},
      {R"({"__metadata__":{},"__metadata__":{}})", "[f at 27, __metadata__] expected each name once, got a duplicate."},
      {R"({"__metadata__":"x"})", "[f at 9, __metadata__] expected an object from text to text, got x."},
  });
}

TEST(Safetensors, AHoleBetweenTensorsIsRefused) {
  const std::string header = R"({"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"I8","shape":[4],"data_offsets":[4,8]}})";
  EXPECT_EQ(refusal(header, 8), "[f at 117, b] expected data from 115 on, got a hole of 2 bytes.");
}

TEST(Safetensors, AHoleBeforeTheFirstTensorIsRefused) {
  EXPECT_EQ(refusal(one_tensor(R"("I8")", "[4]", "[4,8]"), 8), "[f at 65, w] expected data from 61 on, got a hole of 4 bytes.");
}

TEST(Safetensors, AnOverlapIsRefused) {
  const std::string header = R"({"a":{"dtype":"I8","shape":[5],"data_offsets":[0,5]},"b":{"dtype":"I8","shape":[4],"data_offsets":[4,8]}})";
  EXPECT_EQ(refusal(header, 8), "[f at 117, b] expected data from 118 on, got an overlap with the tensor before.");
  const std::string inside = R"({"a":{"dtype":"I8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"I8","shape":[0],"data_offsets":[4,4]}})";
  EXPECT_EQ(refusal(inside, 8), "[f at 117, b] expected data from 121 on, got an overlap with the tensor before.");
}

TEST(Safetensors, BytesAfterTheLastTensorAreRefused) {
  EXPECT_EQ(refusal(one_tensor(R"("I8")", "[4]", "[0,4]"), 8),
            "[f at 65, data] expected the end of the file after the last tensor, got 4 more bytes.");
  EXPECT_EQ(refusal("{}", 1), "[f at 10, data] expected the end of the file after the last tensor, got 1 more bytes.");
}

const std::vector<float> kFloats{1.5F, -2, 3, 4, 5, 6};
const std::vector<uint16_t> kHalves{0x3F80, 0xBF80};
const std::vector<uint8_t> kFlags{1, 0, 1};

std::vector<TensorToWrite> sample_tensors() {
  return {{.name = "flags", .dtype = Dtype::BOOL, .shape = {3}, .bytes = std::as_bytes(std::span(kFlags))},
          {.name = "z.weight", .dtype = Dtype::F32, .shape = {2, 3}, .bytes = std::as_bytes(std::span(kFloats))},
          {.name = "none", .dtype = Dtype::F64, .shape = {0, 4}},
          {.name = "a.weight", .dtype = Dtype::BF16, .shape = {2}, .bytes = std::as_bytes(std::span(kHalves))}};
}

TEST(Safetensors, WhatIsWrittenIsReadBackInOrderOfElementSizeThenName) {
  const TemporaryFolder folder;
  write_safetensors(folder / "a.safetensors", sample_tensors(), {{"format", "pt"}, {"é", "\"\n"}});
  const auto file = SafetensorsFile::open(folder / "a.safetensors");
  std::vector<std::string> names;
  for (const auto& tensor : file.tensors()) names.push_back(tensor.name);
  EXPECT_EQ(names, (std::vector<std::string>{"none", "z.weight", "a.weight", "flags"}));
  for (const auto& tensor : sample_tensors()) {
    EXPECT_EQ(as_text(file.bytes(tensor.name)), as_text(tensor.bytes)) << tensor.name;
    EXPECT_EQ(file.find(tensor.name)->shape, tensor.shape);
    EXPECT_EQ(file.find(tensor.name)->offset % bytes_per_element(tensor.dtype), 0);
  }
  EXPECT_EQ(file.tensors()[0].offset % 8, 0);
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}, {"é", "\"\n"}}));
  EXPECT_EQ(message_of<FormatError>([&] { (void)file.bytes("missing"); }, folder.path()),
            "[/a.safetensors, missing] expected a tensor of this name, got none.");
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const TemporaryFolder folder;
  write_safetensors(folder / "a", sample_tensors(), {{"format", "pt"}});
  const std::string whole = testing::read_text(folder / "a");
  EXPECT_EQ(refusal(whole), "nothing was thrown");
  for (size_t size = 0; size < whole.size(); ++size) {
    // An exact copy, so that a read past the end is seen by the sanitizers.
    const std::vector<char> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_TRUE(refusal(std::string_view(cut.data(), cut.size())).starts_with("[f at ")) << size;
  }
}

TEST(Safetensors, EveryFlippedBitGivesAHeaderOrAFormatError) {
  const TemporaryFolder folder;
  write_safetensors(folder / "a", sample_tensors());
  const std::string whole = testing::read_text(folder / "a");
  for (size_t i = 0; i < whole.size() * 8; ++i) {
    std::string changed = whole;
    changed[i / 8] = static_cast<char>(changed[i / 8] ^ (1 << (i % 8)));
    const std::string message = refusal(changed);
    EXPECT_TRUE(message.starts_with("[f at ") || message == "nothing was thrown") << i << message;
  }
}

TEST(Safetensors, AProducerSendsItsBytesInPieces) {
  const TemporaryFolder folder;
  const auto produce = [](const ByteSink& sink) {
    sink(std::as_bytes(std::span(kFloats).first(2)));
    sink(std::as_bytes(std::span(kFloats).subspan(2)));
  };
  write_safetensors(folder / "a", {{.name = "w", .dtype = Dtype::F32, .shape = {6}, .produce = produce}});
  EXPECT_EQ(as_text(SafetensorsFile::open(folder / "a").bytes("w")), as_text(std::as_bytes(std::span(kFloats))));
}

TEST(Safetensors, AWriterRefusesWhatAReaderWould) {
  const TemporaryFolder folder;
  const auto writes = [&](std::vector<TensorToWrite> tensors, const std::map<std::string, std::string>& metadata = {}) {
    return message_of<InvalidArgument>([&] { write_safetensors(folder / "a", std::move(tensors), metadata); }, folder.path());
  };
  const auto three = std::as_bytes(std::span(kFlags));
  EXPECT_EQ(writes({{.name = "w", .dtype = Dtype::I8, .shape = {2}, .bytes = three}}), "[/a, w] expected 2 bytes for I8 [2], got 3.");
  EXPECT_EQ(writes({{.name = "w", .dtype = Dtype::I8, .shape = {-1}}}),
            "[/a, w] expected at most 64 sizes >= 0 and less than 2^63 bytes, got I8 [-1].");
  EXPECT_EQ(writes({{.name = "__metadata__", .dtype = Dtype::I8, .shape = {3}, .bytes = three}}),
            "[/a, __metadata__] expected a name in UTF-8 other than __metadata__.");
  EXPECT_EQ(writes({{.name = "\xff", .dtype = Dtype::I8, .shape = {0}}}), "[/a, \\xFF] expected a name in UTF-8 other than __metadata__.");
  EXPECT_EQ(writes({{.name = "w", .dtype = Dtype::I8, .shape = {0}}, {.name = "w", .dtype = Dtype::F32, .shape = {0}}}),
            "[/a] expected each name once, got w twice.");
  EXPECT_EQ(writes({}, {{"k", "\xff"}}), "[/a] expected metadata in UTF-8.");
  const auto produce = [&](const ByteSink& sink) { sink(three); };
  EXPECT_EQ(writes({{.name = "w", .dtype = Dtype::I8, .shape = {4}, .produce = produce}}), "[w] expected 4 bytes from its producer, got 3.");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

RC_GTEST_PROP(Safetensors, AnyTensorsSurviveTheRoundTrip, (const std::map<std::string, std::vector<uint8_t>>& contents)) {
  const TemporaryFolder folder;
  std::vector<TensorToWrite> tensors;
  std::map<std::string, std::vector<uint8_t>> expected;
  for (const auto& [key, bytes] : contents) {
    const std::string name = "t" + std::to_string(std::hash<std::string>{}(key));
    const auto& kept = expected[name] = bytes;
    tensors.push_back({.name = name, .dtype = Dtype::U8, .shape = {static_cast<int64_t>(kept.size())}, .bytes = std::as_bytes(std::span(kept))});
  }
  write_safetensors(folder / "a", tensors);
  const auto file = SafetensorsFile::open(folder / "a");
  RC_ASSERT(file.tensors().size() == expected.size());
  for (const auto& [name, bytes] : expected) RC_ASSERT(as_text(file.bytes(name)) == as_text(std::as_bytes(std::span(bytes))));
}

}  // namespace
}  // namespace everlong::io
