#pragma once
// A training run on disk: config.toml, metrics.jsonl, TensorBoard events, tokenizer, checkpoints/step-N/, latest.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace everlong::train {

/// Names and finds what a run directory holds; writes nothing but `latest` and `best`.
class RunDirectory {
 public:
  explicit RunDirectory(std::filesystem::path path) : path_(std::move(path)) {}

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path config() const { return path_ / "config.toml"; }
  [[nodiscard]] std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  [[nodiscard]] std::filesystem::path tokenizer() const { return path_ / "tokenizer"; }
  [[nodiscard]] std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  [[nodiscard]] std::filesystem::path checkpoint(int64_t step) const;

  /// Steps of all complete checkpoints, ascending.
  [[nodiscard]] std::vector<int64_t> checkpoint_steps() const;

  /// Step that `best` names, if that checkpoint is there.
  [[nodiscard]] std::optional<int64_t> best() const;
  void set_latest(int64_t step) const;
  void set_best(int64_t step) const;

  /// Removes checkpoints older than the newest `keep_last`, but not the best, and what a killed process left half-written.
  void prune(int64_t keep_last) const;

 private:
  void remove_unfinished() const;

  std::filesystem::path path_;
};

/// The model directory that a path means: itself, or for a run directory its best checkpoint, else its latest.
/// Errors   IoError if neither a model nor a run is there
[[nodiscard]] std::filesystem::path resolve_model_path(const std::filesystem::path& path);

}  // namespace everlong::train
