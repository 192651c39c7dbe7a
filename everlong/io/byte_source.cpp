#include "everlong/io/byte_source.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "everlong/base/error.h"
#include "everlong/io/file_descriptor.h"

namespace everlong::io {
namespace {

class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(std::string_view text) : rest_(text) {}
  size_t read(std::span<char> buffer) override {
    const size_t count = std::min(buffer.size(), rest_.size());
    std::copy_n(rest_.begin(), count, buffer.begin());
    rest_.remove_prefix(count);
    return count;
  }

 private:
  std::string_view rest_;
};

class PlainSource : public ByteSource {
 public:
  explicit PlainSource(const std::filesystem::path& path) : path_(path), file_(open_for_reading(path)) {}
  size_t read(std::span<char> buffer) override { return read_some(file_, std::as_writable_bytes(buffer), path_); }

 private:
  std::filesystem::path path_;
  FileDescriptor file_;
};

/// Compressed bytes of a file, a buffer at a time.
class CompressedInput {
 public:
  explicit CompressedInput(const std::filesystem::path& path) : path_(path), file_(open_for_reading(path)), buffer_(size_t{1} << 16) {}

  /// The next bytes; empty at the end of the file.
  std::span<const std::byte> next() {
    const size_t count = read_some(file_, buffer_, path_);
    read_bytes_ += static_cast<int64_t>(count);
    return std::span(buffer_).first(count);
  }

  /// Throws FormatError; `unused` bytes of what next() gave were not taken yet.
  [[noreturn]] void refuse(size_t unused, std::string_view expected, std::string_view got) const {
    throw FormatError({path_.string(), read_bytes_ - static_cast<int64_t>(unused)}, expected, got);
  }

 private:
  std::filesystem::path path_;
  FileDescriptor file_;
  std::vector<std::byte> buffer_;
  int64_t read_bytes_ = 0;
};

class GzipSource final : public ByteSource {
 public:
  explicit GzipSource(const std::filesystem::path& path) : input_(path) {
    constexpr int kGzipOnly = 16;
    if (inflateInit2(&stream_, MAX_WBITS + kGzipOnly) != Z_OK) throw std::bad_alloc();
  }
  ~GzipSource() override { inflateEnd(&stream_); }

  size_t read(std::span<char> buffer) override {
    for (;;) {
      if (stream_.avail_in == 0 && !refill()) return 0;
      const size_t room = std::min<size_t>(buffer.size(), std::numeric_limits<uInt>::max());
      stream_.next_out = reinterpret_cast<Bytef*>(buffer.data());
      stream_.avail_out = static_cast<uInt>(room);
      in_member_ = true;
      const int status = inflate(&stream_, Z_NO_FLUSH);
      if (status == Z_STREAM_END) {
        in_member_ = false;
        ++members_;
        inflateReset(&stream_);
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        input_.refuse(stream_.avail_in, "valid gzip data", stream_.msg != nullptr ? stream_.msg : "data that cannot be decompressed");
      }
      if (const size_t count = room - stream_.avail_out; count > 0) return count;
    }
  }

 private:
  bool refill() {
    const auto bytes = input_.next();
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
    if (bytes.empty() && (in_member_ || members_ == 0)) input_.refuse(0, "more gzip data", "the end of the file");
    return !bytes.empty();
  }

  CompressedInput input_;
  z_stream stream_{};
  bool in_member_ = false;
  int64_t members_ = 0;
};

class ZstdSource final : public ByteSource {
 public:
  explicit ZstdSource(const std::filesystem::path& path) : input_(path), context_(ZSTD_createDCtx()) {
    if (!context_) throw std::bad_alloc();
  }

  size_t read(std::span<char> buffer) override {
    for (;;) {
      if (is_drained_ && bytes_.pos == bytes_.size && !refill()) return 0;
      ZSTD_outBuffer out{buffer.data(), buffer.size(), 0};
      const size_t before = bytes_.pos;
      const size_t status = ZSTD_decompressStream(context_.get(), &out, &bytes_);
      if (ZSTD_isError(status)) input_.refuse(bytes_.size - before, "valid zstd data", ZSTD_getErrorName(status));
      in_frame_ = status != 0;
      // A full buffer may have left output inside the decompressor, which the next call must fetch before it reads on.
      is_drained_ = out.pos < out.size || !in_frame_;
      if (out.pos > 0) return out.pos;
    }
  }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };

  bool refill() {
    const auto bytes = input_.next();
    bytes_ = {bytes.data(), bytes.size(), 0};
    if (bytes.empty() && in_frame_) input_.refuse(0, "more zstd data", "the end of the file");
    return !bytes.empty();
  }

  CompressedInput input_;
  std::unique_ptr<ZSTD_DCtx, Free> context_;
  ZSTD_inBuffer bytes_{nullptr, 0, 0};
  bool in_frame_ = true;  // an empty file is no zstd file
  bool is_drained_ = true;
};

}  // namespace

std::unique_ptr<ByteSource> open_bytes(const std::filesystem::path& path) {
  if (path.extension() == ".gz") return std::make_unique<GzipSource>(path);
  if (path.extension() == ".zst") return std::make_unique<ZstdSource>(path);
  return std::make_unique<PlainSource>(path);
}

std::unique_ptr<ByteSource> bytes_in_memory(std::string_view text) { return std::make_unique<MemorySource>(text); }

}  // namespace everlong::io
