#include "everlong/io/mapped_file.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/io/file_descriptor.h"

namespace everlong::io {

MappedFile::MappedFile(const std::filesystem::path& path) {
  const FileDescriptor file = open_for_reading(path);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw IoError("examine", path.string(), errno);
  if (!S_ISREG(status.st_mode)) throw IoError("map", path.string(), ENODEV, "it must be a regular file");
  const auto size = static_cast<size_t>(status.st_size);
  if (size == 0) return;
  void* memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (memory == MAP_FAILED) throw IoError("map", path.string(), errno);
  bytes_ = {static_cast<const std::byte*>(memory), size};
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    unmap();
    bytes_ = std::exchange(other.bytes_, {});
  }
  return *this;
}

MappedFile::~MappedFile() { unmap(); }

void MappedFile::unmap() noexcept {
  if (bytes_.empty()) return;
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  bytes_ = {};
}

std::string read_text_file(const std::filesystem::path& path, int64_t max_bytes) {
  const FileDescriptor file = open_for_reading(path);
  constexpr size_t kStep = size_t{1} << 16;
  std::string text;
  for (;;) {
    const size_t used = text.size();
    text.resize(used + kStep);
    const size_t count = read_some(file, std::as_writable_bytes(std::span(text).subspan(used)), path);
    text.resize(used + count);
    if (std::cmp_greater(text.size(), max_bytes)) throw FormatError({.file = path.string()}, fmt::format("at most {} bytes", max_bytes), "more");
    if (count == 0) return text;
  }
}

}  // namespace everlong::io
