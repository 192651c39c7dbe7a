#include "everlong/text/internal_io.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>

#include "everlong/base/error.h"

namespace everlong::text::internal {

std::string read_text_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path)) throw IoError("open", path.string(), errno ? errno : EISDIR);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

Json parse_json(std::string_view text, std::string_view file_name) {
  constexpr int kMaxDepth = 200;
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (quoted) {
      if (text[i] == '\\')
        ++i;
      else if (text[i] == '"')
        quoted = false;
    } else if (text[i] == '"') {
      quoted = true;
    } else if (text[i] == '[' || text[i] == '{') {
      if (++depth > kMaxDepth)
        throw FormatError({.file = std::string(file_name), .offset = static_cast<int64_t>(i)}, "JSON nested at most 200 deep", "more");
    } else if (text[i] == ']' || text[i] == '}') {
      --depth;
    }
  }
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {
    throw FormatError({.file = std::string(file_name)}, "JSON", error.what());
  }
}

void atomic_write_text(const std::filesystem::path& path, std::string_view text) {
  const std::string temporary = path.string() + ".tmp";
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) throw IoError("create", temporary, errno);
  bool ok = true;
  for (size_t done = 0; ok && done < text.size();) {
    const ssize_t n = ::write(file, text.data() + done, text.size() - done);
    ok = n > 0;
    if (ok) done += static_cast<size_t>(n);
  }
  ok = ok && ::fsync(file) == 0;
  const int error = errno;
  ::close(file);
  if (!ok || ::rename(temporary.c_str(), path.c_str()) != 0) {
    ::unlink(temporary.c_str());
    throw IoError("write", path.string(), error);
  }
}

}  // namespace everlong::text::internal
