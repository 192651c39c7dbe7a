#include "everlong/io/tensorboard.h"

#include <bit>
#include <optional>

#include <gtest/gtest.h>

#include "tests/io/support.h"
#include "tests/support/files.h"

namespace everlong::io {
namespace {

using testing::TemporaryFolder;

uint64_t little_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

/// The CRC bit by bit, without a table.
uint32_t slow_masked_crc(std::string_view bytes) {
  uint32_t crc = ~0U;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0x82F63B78U & (0U - (crc & 1U)));
  }
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8U;
}

/// Payloads of all records of an event file; fails the test where a frame or a CRC is wrong.
std::vector<std::string> records_of(const std::filesystem::path& path) {
  const std::string file = testing::read_text(path);
  std::string_view rest = file;
  std::vector<std::string> records;
  while (!rest.empty()) {
    EXPECT_GE(rest.size(), 16U);
    const uint64_t length = little_endian(rest.substr(0, 8));
    EXPECT_EQ(little_endian(rest.substr(8, 4)), slow_masked_crc(rest.substr(0, 8)));
    EXPECT_LE(length, rest.size() - 16);
    if (::testing::Test::HasFailure()) return records;
    records.emplace_back(rest.substr(12, length));
    EXPECT_EQ(little_endian(rest.substr(12 + length, 4)), slow_masked_crc(records.back()));
    rest.remove_prefix(16 + length);
  }
  return records;
}

/// One field of a protobuf message: a number, or text for nested messages.
struct WireField {
  uint64_t number = 0;
  uint64_t value = 0;
  std::string text;
};

uint64_t take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0; !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) break;
  }
  return value;
}

/// The first field of that number; a failure if there is none.
WireField field_of(std::string_view bytes, uint64_t number) {
  while (!bytes.empty()) {
    const uint64_t tag = take_varint(bytes), kind = tag & 7;
    WireField field{.number = tag >> 3};
    size_t size = 0;
    if (kind == 0) field.value = take_varint(bytes);
    if (kind == 1) size = 8;
    if (kind == 5) size = 4;
    if (kind == 2) size = take_varint(bytes);
    field.text = bytes.substr(0, size);
    if (kind == 1 || kind == 5) field.value = little_endian(field.text);
    bytes.remove_prefix(size);
    if (field.number == number) return field;
  }
  ADD_FAILURE() << "no field " << number;
  return {};
}

TEST(Crc32c, MatchesThePublishedCheckValue) {
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xE3069283U);
  EXPECT_EQ(crc32c(as_bytes("")), 0U);
}

TEST(EventWriter, AFileBeginsWithItsVersion) {
  const TemporaryFolder folder;
  const EventWriter writer(folder / "run/inner");
  const auto records = records_of(writer.path());
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(field_of(records[0], 3).text, "brain.Event:2");
  EXPECT_TRUE(writer.path().filename().string().starts_with("events.out.tfevents."));
}

TEST(EventWriter, AScalarIsReadBackWithTagStepTimeAndValue) {
  const TemporaryFolder folder;
  EventWriter writer(folder.path());
  writer.add_scalar("train/loss", 1'000'000, 2.5, 1234.5);
  writer.add_scalar("é", 0, -0.125);
  writer.flush();
  const auto records = records_of(writer.path());
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(std::bit_cast<double>(field_of(records[1], 1).value), 1234.5);
  EXPECT_EQ(field_of(records[1], 2).value, 1'000'000U);
  const std::string value = field_of(field_of(records[1], 5).text, 1).text;
  EXPECT_EQ(field_of(value, 1).text, "train/loss");
  EXPECT_EQ(std::bit_cast<float>(static_cast<uint32_t>(field_of(value, 2).value)), 2.5F);
  EXPECT_EQ(field_of(field_of(field_of(records[2], 5).text, 1).text, 1).text, "é");
  EXPECT_GT(std::bit_cast<double>(field_of(records[2], 1).value), 1.6e9);
}

TEST(EventWriter, ATextIsReadBackAsAStringTensorOfTheTextPlugin) {
  const TemporaryFolder folder;
  EventWriter writer(folder.path());
  const std::string text(300, 'x');
  writer.add_text("config", 7, text, 1.0);
  writer.flush();
  const auto records = records_of(writer.path());
  ASSERT_EQ(records.size(), 2U);
  const std::string value = field_of(field_of(records[1], 5).text, 1).text;
  EXPECT_EQ(field_of(value, 1).text, "config");
  EXPECT_EQ(field_of(field_of(value, 8).text, 1).value, 7U);
  EXPECT_EQ(field_of(field_of(value, 8).text, 8).text, text);
  EXPECT_EQ(field_of(field_of(field_of(value, 9).text, 1).text, 1).text, "text");
}

TEST(EventWriter, AFlushShowsRecordsToAReaderAndTheEndFlushesToo) {
  const TemporaryFolder folder;
  std::filesystem::path path;
  {
    EventWriter writer(folder.path());
    path = writer.path();
    writer.add_scalar("a", 1, 1);
    EXPECT_EQ(records_of(path).size(), 1U);
    writer.flush();
    EXPECT_EQ(records_of(path).size(), 2U);
    for (int step = 0; step < 10'000; ++step) writer.add_scalar("a", step, step);
  }
  EXPECT_EQ(records_of(path).size(), 10'002U);
}

TEST(EventWriter, ASecondWriterOpensASecondFile) {
  const TemporaryFolder folder;
  const EventWriter first(folder.path()), second(folder.path());
  EXPECT_NE(first.path(), second.path());
}

TEST(EventWriter, WhatCannotBeWrittenIsRefused) {
  const TemporaryFolder folder;
  EventWriter writer(folder.path());
  EXPECT_EQ(message_of<InvalidArgument>([&] { writer.add_scalar("\xff", 0, 0); }), "[tag] expected valid UTF-8, got \\xFF.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { writer.add_text("a", 0, "\xff"); }), "[text] expected valid UTF-8, got \\xFF.");
  testing::write_text(folder / "file", "");
  EXPECT_EQ(message_of<IoError>([&] { EventWriter other(folder / "file"); }, folder.path()), "[/file] cannot create: Not a directory.");
}

}  // namespace
}  // namespace everlong::io
