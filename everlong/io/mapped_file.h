#pragma once
// Files as memory: mapped read-only, or read whole up to a limit.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace everlong::io {

/// A regular file mapped read-only. Move-only; spans into it are valid as long as it lives, also after a move.
/// The file must not be shortened by another process meanwhile (atomic replacement by rename is safe: the old content stays).
class MappedFile {
 public:
  MappedFile() = default;

  /// Maps the whole file; an empty file gives an empty span.
  /// Cost     no copy; pages are read when they are touched
  /// Errors   IoError if the file is missing, unreadable or not a regular file
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

 private:
  void unmap() noexcept;

  std::span<const std::byte> bytes_;
};

inline constexpr int64_t kMaxTextBytes = int64_t{256} << 20;

/// Reads a whole file, for configurations and vocabularies.
/// Errors   IoError if it cannot be read; FormatError if it has more than `max_bytes`
[[nodiscard]] std::string read_text_file(const std::filesystem::path& path, int64_t max_bytes = kMaxTextBytes);

}  // namespace everlong::io
