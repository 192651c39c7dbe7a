#include "everlong/data/lra/idx_images.h"

#include <zlib.h>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "tests/support/files.h"
#include "tests/support/message.h"

namespace everlong::data {
namespace {

using testing::message_of;
using testing::TemporaryFolder;
using testing::write_text;

/// The bytes of an idx file: words of four bytes, then data.
std::string idx(const std::vector<uint32_t>& words, const std::string& data) {
  std::string bytes;
  for (const uint32_t word : words) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(word >> shift & 0xFF);
  }
  return bytes + data;
}

const std::string kImages = idx({0x803, 3, 2, 2}, std::string("\x00\x01\x02\x03\x10\x20\x30\x40\xff\xfe\xfd\xfc", 12));
const std::string kLabels = idx({0x801, 3}, std::string("\x05\x00\x09", 3));

class IdxImagesTest : public ::testing::Test {
 protected:
  std::string complaint(const std::string& images, const std::string& labels, const IdxLimits& limits = {}) {
    write_text(folder_ / "images", images);
    write_text(folder_ / "labels", labels);
    return message_of<FormatError>([&] { (void)read_idx_images(folder_ / "images", folder_ / "labels", limits); }, folder_.path().string() + "/");
  }
  TemporaryFolder folder_;
};

TEST_F(IdxImagesTest, AreReadAsTheyLie) {
  write_text(folder_ / "train-images-idx3-ubyte", kImages);
  write_text(folder_ / "train-labels-idx1-ubyte", kLabels);
  const IdxImages images = read_idx_images(folder_ / "train-images-idx3-ubyte", folder_ / "train-labels-idx1-ubyte");
  EXPECT_EQ(images.count(), 3);
  EXPECT_EQ(images.height * 10 + images.width, 22);
  EXPECT_EQ(images.labels, (std::vector<uint8_t>{5, 0, 9}));
  const auto second = images.image(1);
  EXPECT_EQ(std::vector<uint8_t>(second.begin(), second.end()), (std::vector<uint8_t>{0x10, 0x20, 0x30, 0x40}));
  EXPECT_THROW((void)images.image(3), InvalidArgument);
}

TEST_F(IdxImagesTest, AreReadCompressed) {
  for (const auto& [name, content] : {std::pair{"i.gz", kImages}, std::pair{"l.gz", kLabels}}) {
    gzFile gz = gzopen((folder_ / name).c_str(), "wb");
    gzwrite(gz, content.data(), static_cast<unsigned>(content.size()));
    gzclose(gz);
  }
  EXPECT_EQ(read_idx_images(folder_ / "i.gz", folder_ / "l.gz").pixels.back(), 0xfc);
}

TEST_F(IdxImagesTest, EveryLieOfAHeaderIsRefused) {
  const std::string data(12, 'x');
  EXPECT_EQ(complaint(idx({0x801, 3, 2, 2}, data), kLabels), "[images at 0, magic] expected 0x00000803, bytes along 3 axes, got 0x00000801.");
  EXPECT_EQ(complaint(idx({0x10000803, 3, 2, 2}, data), kLabels), "[images at 0, magic] expected 0x00000803, bytes along 3 axes, got 0x10000803.");
  EXPECT_EQ(complaint(kImages, kImages), "[labels at 0, magic] expected 0x00000801, bytes along 1 axis, got 0x00000803.");
  EXPECT_EQ(complaint(idx({0x803, 0, 2, 2}, ""), kLabels), "[images at 4, count] expected at least 1, got 0.");
  EXPECT_EQ(complaint(idx({0x803, 3, 0, 2}, ""), kLabels), "[images at 8, height] expected at least 1, got 0.");
  EXPECT_EQ(complaint(idx({0x803, 3, 2, 0}, ""), kLabels), "[images at 12, width] expected at least 1, got 0.");
  EXPECT_EQ(complaint(idx({0x803, 3, 2, 2}, data + "y"), kLabels), "[images at 16, data] expected 12 bytes, as the header says, got more.");
  EXPECT_EQ(complaint(idx({0x803, 3, 2, 2}, data.substr(1)), kLabels), "[images at 16, data] expected 12 bytes, as the header says, got 11.");
  EXPECT_EQ(complaint(kImages, idx({0x801, 4}, "1234")), "[labels at 4, count] expected 3 labels, one for each image, got 4.");
  EXPECT_EQ(complaint(kImages, idx({0x801, 3}, "12")), "[labels at 8, data] expected 3 bytes, as the header says, got 2.");
  EXPECT_EQ(complaint(kImages, idx({0x801, 3}, "1234")), "[labels at 8, data] expected 3 bytes, as the header says, got more.");
  EXPECT_EQ(complaint(idx({0x803, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, data), kLabels),
            "[images at 4, count] expected at most 8589934592 bytes of pixels, got 4294967295 x 4294967295 x 4294967295.");
  EXPECT_EQ(complaint(kImages, kLabels, {.max_bytes = 11}), "[images at 4, count] expected at most 11 bytes of pixels, got 3 x 2 x 2.");
}

TEST_F(IdxImagesTest, ACountThatTheFileDoesNotHoldCostsNoMemory) {
  const uint32_t count = 8u << 20;  // 8 GiB of pixels, 8 MiB of labels
  const std::string message = complaint(idx({0x803, count, 32, 32}, "x"), idx({0x801, count}, "1"));
  EXPECT_EQ(message, "[labels at 8, data] expected 8388608 bytes, as the header says, got 1.");
}

TEST_F(IdxImagesTest, AFileCutAnywhereIsRefused) {
  for (size_t size = 0; size < kImages.size(); ++size) EXPECT_NE(complaint(kImages.substr(0, size), kLabels), "nothing was thrown") << size;
  for (size_t size = 0; size < kLabels.size(); ++size) EXPECT_NE(complaint(kImages, kLabels.substr(0, size)), "nothing was thrown") << size;
  EXPECT_EQ(complaint(kImages, kLabels), "nothing was thrown");
}

TEST_F(IdxImagesTest, WhatIsWrittenIsReadBack) {
  IdxWriter writer(folder_ / "x", 2, 1, 3);
  writer.add(std::vector<uint8_t>{1, 2, 3}, 7);
  EXPECT_EQ(message_of<InvalidArgument>([&] { writer.commit(); }), "[images] expected 2 images, got 1.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { writer.add(std::vector<uint8_t>{1}, 7); }),
            "[images] expected 2 images of 3 pixels, got image 2 of 1.");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "x-images-idx3-ubyte")) << "nothing appears before commit()";
  writer.add(std::vector<uint8_t>{4, 5, 255}, 0);
  writer.commit();
  const IdxImages images = read_idx_images(folder_ / "x-images-idx3-ubyte", folder_ / "x-labels-idx1-ubyte");
  EXPECT_EQ(images.pixels, (std::vector<uint8_t>{1, 2, 3, 4, 5, 255}));
  EXPECT_EQ(images.labels, (std::vector<uint8_t>{7, 0}));
  EXPECT_EQ(images.height * 10 + images.width, 13);
  EXPECT_THROW(IdxWriter(folder_ / "y", 0, 1, 1), InvalidArgument);
}

TEST_F(IdxImagesTest, LabelsAreFoundByTheNameOfTheImages) {
  EXPECT_TRUE(is_idx_images("a/train-images-idx3-ubyte"));
  EXPECT_TRUE(is_idx_images("t10k-images.idx3-ubyte.gz"));
  EXPECT_FALSE(is_idx_images("images-idx3/train.tsv"));
  EXPECT_FALSE(is_idx_images("train-labels-idx1-ubyte"));
  EXPECT_EQ(idx_labels_of("a/images-idx3/train-images-idx3-ubyte"), "a/images-idx3/train-labels-idx1-ubyte");
  EXPECT_EQ(idx_labels_of("t10k-images.idx3-ubyte.gz"), "t10k-labels.idx1-ubyte.gz");
  EXPECT_THROW((void)idx_labels_of("train.tsv"), InvalidArgument);
}

TEST_F(IdxImagesTest, LabelsCanBeReadAlone) {
  write_text(folder_ / "images", kImages);
  write_text(folder_ / "labels", kLabels);
  EXPECT_EQ(read_idx_labels(folder_ / "labels"), (std::vector<uint8_t>{5, 0, 9}));
  EXPECT_THROW((void)read_idx_labels(folder_ / "images"), FormatError);
}

}  // namespace
}  // namespace everlong::data
