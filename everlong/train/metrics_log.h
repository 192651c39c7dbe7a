#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "everlong/train/evaluate.h"
#include "everlong/train/task_evaluation.h"

namespace everlong::train {

struct StepReport;

/// metrics.jsonl and TensorBoard events of a run. Each line is written whole and flushed.
class MetricsLog {
 public:
  /// Opens for appending. With `resumed_step` >= 0 lines of later steps, which will be made again, are taken out first.
  /// Errors   IoError
  MetricsLog(const std::filesystem::path& run, int64_t resumed_step);
  ~MetricsLog();

  void add(const StepReport& report);
  void add(int64_t step, const Evaluation& evaluation, Context context);
  void add(int64_t step, const TaskEvaluation& evaluation, std::string_view task);
  void add_sample(int64_t step, std::string_view prompt, std::string_view text);
  /// Says that the run went on from a checkpoint: what readers have seen of later steps no longer counts.
  void add_resume(int64_t step);

 private:
  struct Files;
  std::unique_ptr<Files> files_;
};

}  // namespace everlong::train
