#include "everlong/train/run_directory.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/io/atomic_file.h"
#include "everlong/io/mapped_file.h"

namespace everlong::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "step-";

std::optional<int64_t> step_of(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  int64_t step = 0;
  const auto [rest, error] = std::from_chars(name.data(), name.data() + name.size(), step);
  if (error != std::errc{} || rest != name.data() + name.size()) return std::nullopt;
  return step;
}

}  // namespace

fs::path RunDirectory::checkpoint(int64_t step) const { return checkpoints() / fmt::format("{}{}", kPrefix, step); }

std::vector<int64_t> RunDirectory::checkpoint_steps() const {
  std::vector<int64_t> steps;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(checkpoints(), missing))
    if (const auto step = step_of(entry.path().filename().string())) steps.push_back(*step);
  std::sort(steps.begin(), steps.end());
  return steps;
}

std::optional<int64_t> RunDirectory::best() const {
  const fs::path file = path_ / "best";
  if (!fs::exists(file)) return std::nullopt;
  std::string name = io::read_text_file(file);
  while (!name.empty() && name.back() == '\n') name.pop_back();
  const auto step = step_of(name);
  return step && fs::exists(checkpoint(*step)) ? step : std::nullopt;
}

void RunDirectory::set_latest(int64_t step) const { io::atomic_write_text(path_ / "latest", fmt::format("{}{}\n", kPrefix, step)); }
void RunDirectory::set_best(int64_t step) const { io::atomic_write_text(path_ / "best", fmt::format("{}{}\n", kPrefix, step)); }

void RunDirectory::prune(int64_t keep_last) const {
  remove_unfinished();
  const auto steps = checkpoint_steps();
  const auto spared = best();
  for (size_t i = 0; i + static_cast<size_t>(keep_last) < steps.size(); ++i) {
    // A process that is killed while it removes leaves no half of a checkpoint under a checkpoint's name.
    if (steps[i] != spared) fs::rename(checkpoint(steps[i]), checkpoints() / fmt::format("{}{}.tmp-old", kPrefix, steps[i]));
  }
  remove_unfinished();
}

void RunDirectory::remove_unfinished() const {
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(checkpoints(), missing))
    if (entry.path().filename().string().find(".tmp-") != std::string::npos) fs::remove_all(entry.path());
}

fs::path resolve_model_path(const fs::path& path) {
  if (fs::exists(path / "config.json")) return path;
  const RunDirectory run(path);
  const auto steps = run.checkpoint_steps();
  if (steps.empty())
    throw IoError("find a model", path.string(), ENOENT,
                  "expected a model directory (config.json, model.safetensors) or a run directory (checkpoints/)");
  return run.checkpoint(run.best().value_or(steps.back()));
}

}  // namespace everlong::train
