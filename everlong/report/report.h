#pragma once
// Run directories in, one self-contained HTML page out: charts, a table, samples and settings.

#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace everlong::report {

/// What a line of metrics does not say, or says as null (a loss that was not finite).
inline constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

/// One "train" line of metrics.jsonl.
struct TrainPoint {
  int64_t step = 0;
  double tokens = kMissing;  ///< seen since the start of the run
  double loss = kMissing;    ///< nats per token
  double bits_per_byte = kMissing;
  double learning_rate = kMissing;
  double grad_norm = kMissing;
  double tokens_per_s = kMissing;
  double resident_mb = kMissing;  ///< resident memory, megabytes
};

/// The mean loss of the tokens [begin, end) of a document.
struct PositionLoss {
  double begin = 0;
  double end = 0;
  double nats_per_token = kMissing;
};

/// One "eval" line of metrics.jsonl.
struct Evaluation {
  int64_t step = 0;
  std::string file;
  std::string context;  ///< how the document was read: "carry", "reset", ...
  double nats_per_token = kMissing;
  double perplexity = kMissing;
  double bits_per_byte = kMissing;
  std::vector<PositionLoss> by_position;
};

/// One score of a "task-eval" line of metrics.jsonl: how well a task was done on a labelled file.
struct TaskScore {
  int64_t step = 0;
  std::string file;
  std::string name;  ///< "accuracy", "loss" (nats a decision), ...
  double value = kMissing;
};

/// One "sample" line of metrics.jsonl.
struct Sample {
  int64_t step = 0;
  std::string prompt;
  std::string text;
};

/// One "reference" line of metrics.jsonl: what a general compressor makes of an evaluated file.
struct Reference {
  std::string name;
  std::string file;
  double bits_per_byte = kMissing;
};

/// All that a report says of one run. Lists are in the order of steps, each step (of a file, of its scores, of a prompt) once: the last one written.
/// Where the run went back to an earlier step (it was killed and resumed), nothing of the steps that it made again is left but what was written then.
struct Run {
  std::string name;                                           ///< last component of the directory's path
  std::string config_text;                                    ///< config.toml as it is
  std::vector<std::pair<std::string, std::string>> settings;  ///< its `key = value` lines, keys dotted by section
  std::vector<TrainPoint> train;
  std::vector<Evaluation> evaluations;
  std::vector<TaskScore> scores;
  std::vector<Sample> samples;
  std::vector<Reference> references;
  std::vector<std::string> notes;  ///< from the run, then what reading it came upon
};

struct ReportOptions {
  std::string title = "Training report";
  size_t max_bytes = 1'500'000;  ///< series are thinned and texts cut until the page is no larger
};

/// The most runs that one page compares: five colours, three line styles.
inline constexpr size_t kMaxRuns = 15;

/// Reads config.toml and metrics.jsonl of a run directory.
/// Unknown kinds and fields are passed over. A last line without its end, as a killed process leaves it, becomes a note.
/// Cost     one pass; memory in proportion to the file
/// Errors   IoError if the directory or one of the two files is missing; FormatError with the line number if a line is not a JSON object
///          or a known field has the wrong type
[[nodiscard]] Run load_run(const std::filesystem::path& directory);

/// Writes the page that compares the runs: HTML without any reference outside itself, the same bytes for the same input.
/// Every text that came from a file is escaped.
/// Units    nats per token, bits per byte, megabytes, tokens per second
/// Cost     O(points); at most options.max_bytes, unless the fixed part and the smallest detail alone are larger
/// Errors   InvalidArgument if there is no run or more than kMaxRuns
[[nodiscard]] std::string render_report(std::span<const Run> runs, const ReportOptions& options = {});

}  // namespace everlong::report
