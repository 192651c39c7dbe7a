#pragma once
// Files for tests: what the repository holds, and a folder that goes away.

#include <filesystem>
#include <string>
#include <string_view>

namespace everlong::testing {

/// A path below the root of the repository: source_path("tests/golden/mega").
[[nodiscard]] std::filesystem::path source_path(std::string_view relative);

/// An empty folder that is removed with everything in it at the end of the scope.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

void write_text(const std::filesystem::path& path, std::string_view text);
[[nodiscard]] std::string read_text(const std::filesystem::path& path);

}  // namespace everlong::testing
