#pragma once
// An open file of the operating system that closes itself, and reads and writes that finish.

#include <cstddef>
#include <filesystem>
#include <span>
#include <utility>

namespace everlong::io {

/// An open file descriptor. Move-only; closed at the end of the scope.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int value) : value_(value) {}
  FileDescriptor(FileDescriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor() { close(); }

  [[nodiscard]] int get() const { return value_; }
  [[nodiscard]] bool is_open() const { return value_ >= 0; }
  void close() noexcept;

 private:
  int value_ = -1;
};

/// Opens a file for reading; never waits for the other end of a pipe.
/// Errors   IoError if it is missing, unreadable or a folder
[[nodiscard]] FileDescriptor open_for_reading(const std::filesystem::path& path);

/// Reads up to `buffer.size()` bytes; 0 at the end of the file.
/// Errors   IoError naming `path`
[[nodiscard]] size_t read_some(const FileDescriptor& file, std::span<std::byte> buffer, const std::filesystem::path& path);

/// Writes all of `bytes`, however many calls that takes.
/// Errors   IoError naming `path` (disk full, quota, file size limit)
void write_all(const FileDescriptor& file, std::span<const std::byte> bytes, const std::filesystem::path& path);

/// Makes a file, or the names in a folder, outlive a power cut.
/// Errors   IoError naming `path`
void sync_file(const FileDescriptor& file, const std::filesystem::path& path);
void sync_folder(const std::filesystem::path& folder);

}  // namespace everlong::io
