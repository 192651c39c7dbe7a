#pragma once
// Event files that TensorBoard reads.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/io/file_descriptor.h"

namespace everlong::io {

/// CRC-32C (Castagnoli) of `bytes`, as it frames the records of an event file.
[[nodiscard]] uint32_t crc32c(std::span<const std::byte> bytes);

/// Writes scalars and texts to an event file of its own. A run that resumes opens a second file in the same folder; TensorBoard reads them in order.
class EventWriter {
 public:
  /// Creates the folder if it is missing, and `events.out.tfevents.<seconds>.<host>.<pid>.<n>` in it.
  /// Errors   IoError
  explicit EventWriter(const std::filesystem::path& folder);
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;
  ~EventWriter();  ///< flushes, and stays silent if that fails

  /// Units    wall time in seconds since 1970; now, if absent
  /// Errors   IoError; InvalidArgument if tag or text is not UTF-8
  void add_scalar(std::string_view tag, int64_t step, double value, std::optional<double> wall_time = std::nullopt);
  void add_text(std::string_view tag, int64_t step, std::string_view text, std::optional<double> wall_time = std::nullopt);

  /// Hands all records to the operating system, so that a running TensorBoard sees them. Errors  IoError
  void flush();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  void add_event(int64_t step, std::optional<double> wall_time, int field, std::string_view payload);

  std::filesystem::path path_;
  FileDescriptor file_;
  std::string buffer_;
};

}  // namespace everlong::io
