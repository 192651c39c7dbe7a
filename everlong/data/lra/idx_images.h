#pragma once
// Grey images and their classes in MNIST's idx files, read and written; images as sequences of pixels. No torch.

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "everlong/io/atomic_file.h"

namespace everlong::data {

/// Images of one size, row by row.
struct IdxImages {
  int64_t height = 0, width = 0;
  std::vector<uint8_t> pixels;  ///< [count, height, width]
  std::vector<uint8_t> labels;  ///< [count]

  [[nodiscard]] int64_t count() const { return static_cast<int64_t>(labels.size()); }
  [[nodiscard]] std::span<const uint8_t> image(int64_t number) const;
};

struct IdxLimits {
  int64_t max_bytes = int64_t{8} << 30;  ///< of pixels
};

/// Reads an images file (3 axes of bytes) with its labels file (1 axis), plain or .gz or .zst.
/// Cost     memory as much as the files really hold, whatever their headers say
/// Errors   IoError; FormatError naming file and field if the type, an axis or the length is not what the header says it is, or the counts differ
[[nodiscard]] IdxImages read_idx_images(const std::filesystem::path& images, const std::filesystem::path& labels, const IdxLimits& limits = {});

/// How pixels become numbers: (v / 255 - mean) / std.
struct PixelScale {
  double mean = 0.5;  ///< 0.48 and 0.24 for grey CIFAR-10
  double std = 0.5;
};

/// One image as a sequence of numbers.
/// Errors   InvalidArgument if std is not above 0
[[nodiscard]] std::vector<float> pixel_sequence(std::span<const uint8_t> image, const PixelScale& scale);

/// Writes images as they are made: PREFIX-images-idx3-ubyte and PREFIX-labels-idx1-ubyte appear complete, or not at all.
class IdxWriter {
 public:
  /// Errors   IoError; InvalidArgument if a size does not fit into the header
  IdxWriter(const std::filesystem::path& prefix, int64_t count, int64_t height, int64_t width);

  /// Errors   InvalidArgument if the image has another size or there are more than announced
  void add(std::span<const uint8_t> image, uint8_t label);

  /// Errors   IoError; InvalidArgument if there are fewer than announced
  void commit();

 private:
  io::AtomicFile images_, labels_;
  int64_t count_, image_bytes_, added_ = 0;
};

}  // namespace everlong::data
