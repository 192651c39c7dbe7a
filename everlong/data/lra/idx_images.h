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

/// Whether a file name says that it holds images: "train-images-idx3-ubyte", "t10k-images.idx3-ubyte.gz".
[[nodiscard]] bool is_idx_images(const std::filesystem::path& path);

/// The labels file that belongs to an images file: "train-labels-idx1-ubyte", in the same folder.
/// Errors   InvalidArgument if the name does not say that it holds images
[[nodiscard]] std::filesystem::path idx_labels_of(const std::filesystem::path& images);

struct IdxLimits {
  int64_t max_bytes = int64_t{8} << 30;  ///< of pixels
};

/// Reads an images file (3 axes of bytes) with its labels file (1 axis), plain or .gz or .zst.
/// Cost     memory as much as the files really hold, whatever their headers say
/// Errors   IoError; FormatError naming file and field if the type, an axis or the length is not what the header says it is, or the counts differ
[[nodiscard]] IdxImages read_idx_images(const std::filesystem::path& images, const std::filesystem::path& labels, const IdxLimits& limits = {});

/// Reads a labels file alone. Errors  as read_idx_images
[[nodiscard]] std::vector<uint8_t> read_idx_labels(const std::filesystem::path& labels);

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
