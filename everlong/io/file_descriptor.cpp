#include "everlong/io/file_descriptor.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "everlong/base/error.h"

namespace everlong::io {

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    close();
    value_ = std::exchange(other.value_, -1);
  }
  return *this;
}

void FileDescriptor::close() noexcept {
  if (value_ >= 0) ::close(std::exchange(value_, -1));
}

FileDescriptor open_for_reading(const std::filesystem::path& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) throw IoError("open", path.string(), errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw IoError("examine", path.string(), errno);
  if (S_ISDIR(status.st_mode)) throw IoError("open", path.string(), EISDIR);
  // The flag was for opening only: reads from a pipe are to wait for its writer.
  if (!S_ISREG(status.st_mode)) ::fcntl(file.get(), F_SETFL, 0);
  return file;
}

size_t read_some(const FileDescriptor& file, std::span<std::byte> buffer, const std::filesystem::path& path) {
  for (;;) {
    const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
    if (count >= 0) return static_cast<size_t>(count);
    if (errno != EINTR) throw IoError("read", path.string(), errno);
  }
}

void write_all(const FileDescriptor& file, std::span<const std::byte> bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(file.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw IoError("write", path.string(), errno);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

void sync_file(const FileDescriptor& file, const std::filesystem::path& path) {
  if (::fsync(file.get()) != 0) throw IoError("write to disk", path.string(), errno);
}

void sync_folder(const std::filesystem::path& folder) {
  const FileDescriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened.is_open()) throw IoError("open", folder.string(), errno);
  sync_file(opened, folder);
}

}  // namespace everlong::io
