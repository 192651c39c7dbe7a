#pragma once
// What the page's script draws, as JSON.

#include <span>
#include <string>
#include <vector>

#include "everlong/report/report.h"

namespace everlong::report {

/// How much of a run the page shows; halved until the page is small enough.
struct Detail {
  size_t buckets = 600;         ///< stretches of a series, two points each
  size_t text_bytes = 200'000;  ///< for settings and for samples, each
  size_t max_lists = 24;        ///< evaluated files of a run, notes, sample prompts
};

/// One way in which a run was evaluated: a file and how it was read.
struct EvaluatedFile {
  std::string file;
  std::string context;
  std::vector<const Evaluation*> points;  ///< in the order of steps, never empty

  [[nodiscard]] const Evaluation& last() const { return *points.back(); }
  /// "persuasion.txt, carry"
  [[nodiscard]] std::string label() const;
};

/// The run's evaluations by file and context, in the order of names; at most `max_files`.
[[nodiscard]] std::vector<EvaluatedFile> evaluated_files(const Run& run, size_t max_files);

/// One score on one file over the steps.
struct ScoreLine {
  std::string file;
  std::string name;
  std::vector<const TaskScore*> points;  ///< in the order of steps, never empty

  [[nodiscard]] double last() const { return points.back()->value; }
  /// "dev.tsv, accuracy"
  [[nodiscard]] std::string label() const;
};

/// The run's scores by file and name, in the order of names; at most `max_lines`.
[[nodiscard]] std::vector<ScoreLine> score_lines(const Run& run, size_t max_lines);

/// One value of all points: column(run.train, &TrainPoint::loss).
template <class Point>
[[nodiscard]] std::vector<double> column(const std::vector<Point>& points, double Point::*member) {
  std::vector<double> values;
  values.reserve(points.size());
  for (const Point& point : points) values.push_back(point.*member);
  return values;
}

/// JSON for the script element: {"runs":[{"name", "clock", "series":{...}, "evals":[...], "scores":[...], "positions":[...]}]}.
/// Losses of tasks stand among "evals", in nats; a perplexity says no more than its loss and is left out.
/// Shapes   series.<key> = {"x":[steps], "y":[values], "s":[smoothed values]}; clock = {"x":[steps], "y":[tokens]}
[[nodiscard]] std::string chart_data(std::span<const Run> runs, const std::vector<std::string>& names, const Detail& detail);

}  // namespace everlong::report
