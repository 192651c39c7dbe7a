#pragma once
// Files and folders that appear under their name complete or not at all.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "everlong/io/file_descriptor.h"

namespace everlong::io {

/// A file being written beside its final name; commit() puts it there, replacing what was there before.
class AtomicFile {
 public:
  /// Errors   IoError if the folder is missing or not writable
  explicit AtomicFile(std::filesystem::path path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();  ///< removes what was written, unless it was committed

  /// Appends. Errors  IoError (disk full, quota); nothing can be committed after one
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);

  /// Puts the file under its name: flush, fsync, rename, fsync of the folder.
  /// Errors   IoError; the old file is then untouched, unless only the last step failed
  void commit();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] int64_t written_bytes() const { return written_bytes_; }

 private:
  void flush();

  std::filesystem::path path_, temporary_;
  FileDescriptor file_;
  std::vector<std::byte> buffer_;
  int64_t written_bytes_ = 0;
  bool failed_ = false;
};

/// Writes a whole file atomically. Errors  IoError
void atomic_write_text(const std::filesystem::path& path, std::string_view text);

/// What commit() of a folder does where its name is taken.
enum class IfExists { refuse, replace };

/// A folder being filled as `<name>.tmp-<pid>`; commit() gives it its name.
class AtomicFolder {
 public:
  /// Creates the temporary folder; the folder it lies in must exist.
  /// Errors   IoError; already here if the name is taken and is not to be replaced
  explicit AtomicFolder(std::filesystem::path path, IfExists if_exists = IfExists::refuse);
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;
  ~AtomicFolder();  ///< removes the temporary folder with all in it, unless it was committed

  /// Where to write until commit().
  [[nodiscard]] const std::filesystem::path& temporary() const { return temporary_; }

  /// Writes everything in the folder to disk and renames it; a replaced folder is exchanged in one step, then removed.
  /// Errors   IoError; a folder of that name is then as it was
  void commit();

 private:
  std::filesystem::path path_, temporary_;
  IfExists if_exists_;
  bool committed_ = false;
};

}  // namespace everlong::io
