#include <cerrno>
#include <fstream>
#include <iterator>
#include <system_error>

#include "everlong/base/error.h"
#include "everlong/report/metrics.h"
#include "everlong/report/report.h"

namespace everlong::report {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  constexpr std::string_view kHint = "a run directory holds config.toml and metrics.jsonl";
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) throw IoError("read", path.string(), error ? error.value() : ENOENT, kHint);
  if (fs::is_directory(status)) throw IoError("read", path.string(), EISDIR, kHint);
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) throw IoError("read", path.string(), errno, kHint);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) throw IoError("read", path.string(), errno);
  return text;
}

std::string name_of(const fs::path& directory) {
  std::error_code error;
  fs::path whole = fs::weakly_canonical(directory, error);
  if (error) whole = directory.lexically_normal();
  const std::string name = whole.filename().string();
  return name.empty() ? directory.string() : name;
}

}  // namespace

Run load_run(const std::filesystem::path& directory) {
  std::error_code error;
  const fs::file_status status = fs::status(directory, error);
  if (!fs::exists(status))
    throw IoError("open run directory", directory.string(), error ? error.value() : ENOENT, "give the folder that training wrote");
  if (!fs::is_directory(status)) throw IoError("open run directory", directory.string(), ENOTDIR, "give the folder that training wrote");
  Run run;
  run.name = name_of(directory);
  run.config_text = read_file(directory / "config.toml");
  run.settings = read_settings(run.config_text);
  const fs::path metrics = directory / "metrics.jsonl";
  read_metrics(read_file(metrics), metrics.string(), run);
  return run;
}

}  // namespace everlong::report
