#include "everlong/io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/error.h"

namespace everlong::io {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 18;

std::filesystem::path folder_of(const std::filesystem::path& path) {
  const auto folder = path.parent_path();
  return folder.empty() ? std::filesystem::path(".") : folder;
}

std::filesystem::path without_trailing_slash(std::filesystem::path path) { return path.has_filename() ? path : path.parent_path(); }

bool name_is_taken(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::exists(std::filesystem::symlink_status(path, error));
}

void sync_tree(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_symlink()) continue;
    if (entry.is_directory()) sync_tree(entry.path());
    if (entry.is_regular_file()) sync_file(open_for_reading(entry.path()), entry.path());
  }
  sync_folder(folder);
}

/// Renames by flag; where the file system has no flags, renames if that cannot destroy anything.
bool rename_with(const std::filesystem::path& from, const std::filesystem::path& to, unsigned flag) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flag) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS) return false;
  if (name_is_taken(to)) {
    errno = EEXIST;
    return false;
  }
  return std::rename(from.c_str(), to.c_str()) == 0;
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  static std::atomic<uint64_t> counter{0};
  if (!path_.has_filename()) throw IoError("write", path_.string(), EISDIR);
  temporary_ = folder_of(path_) / fmt::format(".{}.tmp-{}-{}", path_.filename().string(), ::getpid(), counter++);
  file_ = FileDescriptor(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!file_.is_open()) throw IoError("write", path_.string(), errno);
  buffer_.reserve(kBufferBytes);
}

AtomicFile::~AtomicFile() {
  if (file_.is_open()) ::unlink(temporary_.c_str());
}

void AtomicFile::flush() {
  // A write that fails halfway leaves a file with a gap; `failed_` keeps that from being committed.
  failed_ = true;
  write_all(file_, buffer_, path_);
  failed_ = false;
  buffer_.clear();
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  require(file_.is_open() && !failed_, [&] { return Complaint{.where = path_.native(), .expected = "no write after a commit or a failed write"}; });
  written_bytes_ += static_cast<int64_t>(bytes.size());
  if (buffer_.size() + bytes.size() > kBufferBytes) flush();
  if (bytes.size() < kBufferBytes) {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    return;
  }
  failed_ = true;
  write_all(file_, bytes, path_);
  failed_ = false;
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::commit() {
  require(file_.is_open() && !failed_, [&] { return Complaint{.where = path_.native(), .expected = "one commit, after no failed write"}; });
  flush();
  sync_file(file_, path_);
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) throw IoError("write", path_.string(), errno);
  file_.close();
  sync_folder(folder_of(path_));
}

void atomic_write_text(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

AtomicFolder::AtomicFolder(std::filesystem::path path, IfExists if_exists) : path_(without_trailing_slash(std::move(path))), if_exists_(if_exists) {
  if (if_exists_ == IfExists::refuse && name_is_taken(path_)) throw IoError("create", path_.string(), EEXIST);
  const std::string base = fmt::format("{}.tmp-{}", path_.string(), ::getpid());
  temporary_ = base;
  for (int attempt = 1; ::mkdir(temporary_.c_str(), 0777) != 0; ++attempt) {
    const int error = errno;
    temporary_.clear();
    if (error != EEXIST || attempt > 1000) throw IoError("create", base, error);
    temporary_ = fmt::format("{}-{}", base, attempt);
  }
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!committed_) std::filesystem::remove_all(temporary_, ignored);
}

void AtomicFolder::commit() {
  require(!committed_, [&] { return Complaint{.where = path_.native(), .expected = "one commit"}; });
  try {
    sync_tree(temporary_);
  } catch (const std::filesystem::filesystem_error& error) {
    throw IoError("read", temporary_.string(), error.code().value());
  }
  const bool exchange = if_exists_ == IfExists::replace && name_is_taken(path_);
  if (!rename_with(temporary_, path_, exchange ? RENAME_EXCHANGE : RENAME_NOREPLACE)) throw IoError("create", path_.string(), errno);
  committed_ = true;
  sync_folder(folder_of(path_));
  std::error_code ignored;
  if (exchange) std::filesystem::remove_all(temporary_, ignored);
}

}  // namespace everlong::io
