#include "everlong/report/chart_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "everlong/report/markup.h"
#include "everlong/report/series.h"

namespace everlong::report {
namespace {

// A list of what `text_of` makes of each entry.
template <class List, class F>
std::string json_list(const List& list, F&& text_of) {
  std::string out = "[";
  for (const auto& entry : list) {
    if (out.size() > 1) out += ',';
    out += text_of(entry);
  }
  return out + ']';
}

std::string steps_of(const std::vector<TrainPoint>& train, const std::vector<size_t>& kept) {
  return json_list(kept, [&](size_t i) { return fmt::format("{}", train[i].step); });
}

std::string numbers_of(const std::vector<double>& values, const std::vector<size_t>& kept, int digits) {
  return json_list(kept, [&](size_t i) { return json_number(values[i], digits); });
}

// About one window in a hundredth of the run: wide enough to see the trend, narrow enough to keep the warm-up.
double smoothing_window(size_t points) { return std::clamp(static_cast<double>(points) / 100, 1.0, 500.0); }

std::string series(const Run& run, double TrainPoint::*member, bool with_smooth, const Detail& detail) {
  const std::vector<double> values = column(run.train, member);
  const std::vector<size_t> kept = thin(values, detail.buckets);
  std::string out = fmt::format(R"({{"x":{},"y":{})", steps_of(run.train, kept), numbers_of(values, kept, 5));
  const double window = smoothing_window(values.size());
  if (with_smooth && window > 1) out += fmt::format(R"(,"s":{})", numbers_of(smooth(values, window), kept, 5));
  return out + '}';
}

std::string clock(const Run& run, const Detail& detail) {
  const std::vector<double> tokens = column(run.train, &TrainPoint::tokens);
  const std::vector<size_t> kept = thin(tokens, std::min<size_t>(detail.buckets, 100));
  return fmt::format(R"({{"x":{},"y":{}}})", steps_of(run.train, kept), numbers_of(tokens, kept, 12));
}

std::string evaluation(const EvaluatedFile& file, const Detail& detail) {
  std::vector<double> bits;
  for (const Evaluation* point : file.points) bits.push_back(std::isfinite(point->bits_per_byte) ? point->bits_per_byte : point->nats_per_token);
  const std::vector<size_t> kept = thin(bits, detail.buckets);
  return fmt::format(R"({{"label":{},"x":{},"nats":{},"bits":{}}})", json_string(file.label()),
                     json_list(kept, [&](size_t i) { return fmt::format("{}", file.points[i]->step); }),
                     json_list(kept, [&](size_t i) { return json_number(file.points[i]->nats_per_token); }),
                     json_list(kept, [&](size_t i) { return json_number(file.points[i]->bits_per_byte); }));
}

std::string steps_of(const ScoreLine& line, const std::vector<size_t>& kept) {
  return json_list(kept, [&](size_t i) { return fmt::format("{}", line.points[i]->step); });
}

// `nulls`: names of the values that the line does not have, and `key` the name of those that it has.
std::string scores(const ScoreLine& line, const std::string& label, std::string_view key, std::string_view nulls, const Detail& detail) {
  std::vector<double> values;
  for (const TaskScore* point : line.points) values.push_back(point->value);
  const std::vector<size_t> kept = thin(values, detail.buckets);
  std::string out = fmt::format(R"({{"label":{},"x":{},"{}":{})", json_string(label), steps_of(line, kept), key, numbers_of(values, kept, 5));
  if (!nulls.empty()) out += fmt::format(R"(,"{}":{})", nulls, json_list(kept, [](size_t) { return std::string("null"); }));
  return out + '}';
}

// The last evaluation that says how the loss goes along the document; none if no one does.
const Evaluation* last_along_document(const EvaluatedFile& file) {
  for (size_t i = file.points.size(); i-- > 0;)
    if (!file.points[i]->by_position.empty()) return file.points[i];
  return nullptr;
}

std::string positions(const EvaluatedFile& file, const Detail& detail) {
  const Evaluation& last = *last_along_document(file);
  std::vector<PositionLoss> bins = last.by_position;
  std::erase_if(bins, [](const PositionLoss& bin) { return !(bin.begin >= 0 && bin.end > bin.begin) || !std::isfinite(bin.nats_per_token); });
  std::stable_sort(bins.begin(), bins.end(), [](const PositionLoss& a, const PositionLoss& b) { return a.begin + a.end < b.begin + b.end; });
  const std::vector<double> losses = column(bins, &PositionLoss::nats_per_token);
  const std::vector<size_t> kept = thin(losses, detail.buckets);
  return fmt::format(R"({{"label":{},"x":{},"y":{}}})", json_string(fmt::format("{}, step {}", file.label(), last.step)),
                     json_list(kept, [&](size_t i) { return json_number((bins[i].begin + bins[i].end) / 2, 9); }), numbers_of(losses, kept, 5));
}

std::string run_data(const Run& run, const std::string& name, const Detail& detail) {
  std::vector<EvaluatedFile> files = evaluated_files(run, detail.max_lists);
  std::string out = fmt::format(R"({{"name":{},"clock":{})", json_string(shorten(name, 200)), clock(run, detail));
  out += fmt::format(R"(,"series":{{"loss":{},"bits":{},"lr":{},"grad":{},"speed":{},"memory":{}}})", series(run, &TrainPoint::loss, true, detail),
                     series(run, &TrainPoint::bits_per_byte, true, detail), series(run, &TrainPoint::learning_rate, false, detail),
                     series(run, &TrainPoint::grad_norm, true, detail), series(run, &TrainPoint::tokens_per_s, true, detail),
                     series(run, &TrainPoint::resident_mb, false, detail));
  std::vector<std::string> evaluations, of_tasks;
  for (const EvaluatedFile& file : files) evaluations.push_back(evaluation(file, detail));
  for (const ScoreLine& line : score_lines(run, detail.max_lists)) {
    if (line.name == "loss") evaluations.push_back(scores(line, shorten(line.file, 100), "nats", "bits", detail));
    if (line.name != "loss" && line.name != "perplexity") of_tasks.push_back(scores(line, line.label(), "y", "", detail));
  }
  const auto as_it_is = [](const std::string& text) { return text; };
  out += fmt::format(R"(,"evals":{},"scores":{})", json_list(evaluations, as_it_is), json_list(of_tasks, as_it_is));
  std::erase_if(files, [](const EvaluatedFile& file) { return last_along_document(file) == nullptr; });
  return out + fmt::format(R"(,"positions":{}}})", json_list(files, [&](const EvaluatedFile& file) { return positions(file, detail); }));
}

}  // namespace

std::string EvaluatedFile::label() const {
  if (file.empty() || context.empty()) return shorten(file + context, 200);
  return shorten(file, 100) + ", " + shorten(context, 100);
}

std::string ScoreLine::label() const { return file.empty() ? shorten(name, 100) : shorten(file, 100) + ", " + shorten(name, 100); }

std::vector<ScoreLine> score_lines(const Run& run, size_t max_lines) {
  std::map<std::pair<std::string, std::string>, ScoreLine> by_name;
  for (const TaskScore& score : run.scores) {
    ScoreLine& line = by_name[{score.file, score.name}];
    line.file = score.file;
    line.name = score.name;
    line.points.push_back(&score);
  }
  std::vector<ScoreLine> lines;
  for (auto& entry : by_name)
    if (lines.size() < max_lines) lines.push_back(std::move(entry.second));
  return lines;
}

std::vector<EvaluatedFile> evaluated_files(const Run& run, size_t max_files) {
  std::map<std::pair<std::string, std::string>, EvaluatedFile> by_name;
  for (const Evaluation& eval : run.evaluations) {
    EvaluatedFile& file = by_name[{eval.file, eval.context}];
    file.file = eval.file;
    file.context = eval.context;
    file.points.push_back(&eval);
  }
  std::vector<EvaluatedFile> files;
  for (auto& entry : by_name)
    if (files.size() < max_files) files.push_back(std::move(entry.second));
  return files;
}

std::string chart_data(std::span<const Run> runs, const std::vector<std::string>& names, const Detail& detail) {
  std::string out = R"({"runs":[)";
  for (size_t i = 0; i < runs.size(); ++i) {
    if (i > 0) out += ',';
    out += run_data(runs[i], names[i], detail);
  }
  return out + "]}";
}

}  // namespace everlong::report
