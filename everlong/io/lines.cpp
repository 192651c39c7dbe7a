#include "everlong/io/lines.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/error.h"

namespace everlong::io {
namespace {

constexpr size_t kStepBytes = size_t{1} << 16;

}  // namespace

LineReader::LineReader(const std::filesystem::path& path, int64_t max_line_bytes) : LineReader(open_bytes(path), path.string(), max_line_bytes) {}

LineReader::LineReader(std::unique_ptr<ByteSource> source, std::string name, int64_t max_line_bytes)
    : source_(std::move(source)), name_(std::move(name)), max_line_bytes_(static_cast<size_t>(std::max<int64_t>(max_line_bytes, 0))) {}

std::optional<std::string_view> LineReader::next() {
  size_t searched = 0;
  for (;;) {
    const std::string_view unread(buffer_.data() + begin_, end_ - begin_);
    const size_t line_feed = unread.find('\n', searched);
    const bool is_found = line_feed != std::string_view::npos;
    searched = unread.size();
    if ((is_found ? line_feed : unread.size()) > max_line_bytes_) {
      throw FormatError({name_, line_number_ + 1}, fmt::format("at most {} bytes in a line", max_line_bytes_), "more");
    }
    if (!is_found && refill()) continue;
    if (unread.empty()) return std::nullopt;
    ++line_number_;
    std::string_view line(buffer_.data() + begin_, is_found ? line_feed : end_ - begin_);
    begin_ += line.size() + (is_found ? 1 : 0);
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
  }
}

bool LineReader::refill() {
  if (begin_ > 0) {
    std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_), buffer_.begin() + static_cast<std::ptrdiff_t>(end_), buffer_.begin());
    end_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() - end_ < kStepBytes) buffer_.resize(std::max(end_ + kStepBytes, end_ * 2));
  const size_t count = source_->read(std::span(buffer_).subspan(end_, kStepBytes));
  end_ += count;
  return count > 0;
}

std::string read_document(const std::filesystem::path& path, int64_t max_bytes) {
  const auto source = open_bytes(path);
  std::string text;
  for (;;) {
    const size_t used = text.size();
    text.resize(used + kStepBytes);
    const size_t count = source->read(std::span(text).subspan(used));
    text.resize(used + count);
    if (std::cmp_greater(text.size(), max_bytes)) throw FormatError({.file = path.string()}, fmt::format("at most {} bytes", max_bytes), "more");
    if (count == 0) return text;
  }
}

}  // namespace everlong::io
