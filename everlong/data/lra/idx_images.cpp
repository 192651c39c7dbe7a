#include "everlong/data/lra/idx_images.h"

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "everlong/base/checked_math.h"
#include "everlong/base/error.h"
#include "everlong/io/byte_source.h"

namespace everlong::data {
namespace {

constexpr uint32_t kImagesMagic = 0x00000803, kLabelsMagic = 0x00000801;
constexpr int64_t kBlockBytes = int64_t{1} << 20;

/// One idx file under the reader.
class IdxFile {
 public:
  explicit IdxFile(const std::filesystem::path& path) : name_(path.string()), source_(io::open_bytes(path)) {}

  uint32_t word(const char* field) {
    std::array<char, 4> bytes{};
    if (fill(bytes) != bytes.size()) throw FormatError({name_, offset_, field}, "four bytes", "the end of the file");
    uint32_t value = 0;
    for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
    return value;
  }

  void magic(uint32_t expected) {
    const uint32_t found = word("magic");
    if (found == expected) return;
    throw FormatError({name_, 0, "magic"}, fmt::format("{:#010x}, bytes along {} {}", expected, expected & 0xFF, expected & 0xFE ? "axes" : "axis"),
                      fmt::format("{:#010x}", found));
  }

  int64_t axis(const char* field) {
    const uint32_t size = word(field);
    if (size == 0) throw FormatError({name_, offset_ - 4, field}, "at least 1", "0");
    return size;
  }

  /// The rest of the file, which must have exactly that many bytes.
  std::vector<uint8_t> rest(int64_t num_bytes) {
    std::vector<uint8_t> bytes;
    const int64_t begin = offset_;
    while (std::cmp_less(bytes.size(), num_bytes)) {
      const size_t had = bytes.size();
      const size_t block = static_cast<size_t>(std::min(num_bytes - static_cast<int64_t>(had), kBlockBytes));
      bytes.resize(had + block);
      const size_t got = fill({reinterpret_cast<char*>(bytes.data() + had), block});
      if (got < block) {
        throw FormatError({name_, begin, "data"}, fmt::format("{} bytes, as the header says", num_bytes), fmt::format("{}", had + got));
      }
    }
    std::array<char, 1> more{};
    if (fill(more) != 0) throw FormatError({name_, begin, "data"}, fmt::format("{} bytes, as the header says", num_bytes), "more");
    return bytes;
  }

  const std::string& name() const { return name_; }

 private:
  size_t fill(std::span<char> buffer) {
    size_t filled = 0;
    while (filled < buffer.size()) {
      const size_t got = source_->read(buffer.subspan(filled));
      if (got == 0) break;
      filled += got;
    }
    offset_ += static_cast<int64_t>(filled);
    return filled;
  }

  std::string name_;
  std::unique_ptr<io::ByteSource> source_;
  int64_t offset_ = 0;
};

void write_words(io::AtomicFile& file, std::initializer_list<int64_t> words) {
  for (const int64_t word : words) {
    std::array<char, 4> bytes{};
    for (size_t i = 0; i < 4; ++i) bytes[i] = static_cast<char>(static_cast<uint64_t>(word) >> (24 - 8 * i) & 0xFF);
    file.write(std::string_view(bytes.data(), bytes.size()));
  }
}

constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kFileMarks{{{"images-idx3", "labels-idx1"}, {"images.idx3", "labels.idx1"}}};

std::filesystem::path with_suffix(const std::filesystem::path& prefix, const char* suffix) { return prefix.string() + suffix; }

}  // namespace

std::span<const uint8_t> IdxImages::image(int64_t number) const {
  require(number >= 0 && number < count(), [&] {
    return Complaint{.where = "images", .expected = fmt::format("the number of one of {} images", count()), .got = fmt::format("{}", number)};
  });
  const auto size = static_cast<size_t>(height * width);
  return std::span(pixels).subspan(static_cast<size_t>(number) * size, size);
}

bool is_idx_images(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  return std::any_of(kFileMarks.begin(), kFileMarks.end(), [&](const auto& mark) { return name.find(mark.first) != std::string::npos; });
}

std::filesystem::path idx_labels_of(const std::filesystem::path& images) {
  std::string name = images.filename().string();
  for (const auto& [theirs, labels] : kFileMarks) {
    const size_t at = name.rfind(theirs);
    if (at != std::string::npos) return images.parent_path() / name.replace(at, theirs.size(), labels);
  }
  throw InvalidArgument({.where = "images", .expected = "a file whose name has images-idx3 in it", .got = images.string()});
}

std::vector<uint8_t> read_idx_labels(const std::filesystem::path& labels) {
  IdxFile file(labels);
  file.magic(kLabelsMagic);
  const int64_t count = file.axis("count");
  return file.rest(count);
}

IdxImages read_idx_images(const std::filesystem::path& images, const std::filesystem::path& labels, const IdxLimits& limits) {
  IdxFile image_file(images), label_file(labels);
  IdxImages result;
  image_file.magic(kImagesMagic);
  const int64_t count = image_file.axis("count");
  result.height = image_file.axis("height");
  result.width = image_file.axis("width");
  const std::array<int64_t, 3> sizes = {count, result.height, result.width};
  const auto num_bytes = checked_product<int64_t>(sizes);
  if (!num_bytes || *num_bytes > limits.max_bytes) {
    throw FormatError({image_file.name(), 4, "count"}, fmt::format("at most {} bytes of pixels", limits.max_bytes),
                      fmt::format("{} x {} x {}", count, result.height, result.width));
  }
  label_file.magic(kLabelsMagic);
  const int64_t label_count = label_file.axis("count");
  if (label_count != count) {
    throw FormatError({label_file.name(), 4, "count"}, fmt::format("{} labels, one for each image", count), fmt::format("{}", label_count));
  }
  result.labels = label_file.rest(count);
  result.pixels = image_file.rest(*num_bytes);
  return result;
}

IdxWriter::IdxWriter(const std::filesystem::path& prefix, int64_t count, int64_t height, int64_t width)
    : images_(with_suffix(prefix, "-images-idx3-ubyte")),
      labels_(with_suffix(prefix, "-labels-idx1-ubyte")),
      count_(count),
      image_bytes_(height * width) {
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max(), kMaxSide = 1 << 15;
  require(count >= 1 && count <= kMax && height >= 1 && height <= kMaxSide && width >= 1 && width <= kMaxSide, [&] {
    return Complaint{.where = "images",
                     .expected = fmt::format("1 to {} images with sides of 1 to {}", kMax, kMaxSide),
                     .got = fmt::format("{} of {} x {}", count, height, width)};
  });
  write_words(images_, {kImagesMagic, count, height, width});
  write_words(labels_, {kLabelsMagic, count});
}

void IdxWriter::add(std::span<const uint8_t> image, uint8_t label) {
  require(std::cmp_equal(image.size(), image_bytes_) && added_ < count_, [&] {
    return Complaint{.where = "images",
                     .expected = fmt::format("{} images of {} pixels", count_, image_bytes_),
                     .got = fmt::format("image {} of {}", added_ + 1, image.size())};
  });
  images_.write(std::as_bytes(image));
  labels_.write(std::as_bytes(std::span(&label, 1)));
  ++added_;
}

void IdxWriter::commit() {
  require(added_ == count_,
          [&] { return Complaint{.where = "images", .expected = fmt::format("{} images", count_), .got = fmt::format("{}", added_)}; });
  labels_.commit();
  images_.commit();
}

}  // namespace everlong::data
