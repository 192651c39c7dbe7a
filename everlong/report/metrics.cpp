#include "everlong/report/metrics.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/json.h"

namespace everlong::report {
namespace {

using io::Json;

constexpr io::JsonLimits kLineLimits = {.max_depth = 32, .max_bytes = int64_t{16} << 20};

std::optional<Json> parse_line(std::string_view line, const std::string& file) {
  try {
    Json value = io::parse_json(line, file, kLineLimits);
    if (value.is_object()) return value;
  } catch (const FormatError&) {
    // The caller knows the line's number and says what is wrong.
  }
  return std::nullopt;
}

// One line's object, with what a message needs to find it again.
class Line {
 public:
  Line(const Json& object, const std::string& file, int64_t number) : object_(object), file_(file), number_(number) {}

  [[nodiscard]] double number(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end() || found->is_null()) return kMissing;
    if (!found->is_number()) refuse(key, "a number", *found);
    return found->get<double>();
  }

  [[nodiscard]] std::string text(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end() || found->is_null()) return {};
    if (!found->is_string()) refuse(key, "a string", *found);
    return found->get<std::string>();
  }

  /// Every number but those that say where and of how many examples it is.
  [[nodiscard]] std::vector<std::pair<std::string, double>> scores() const {
    std::vector<std::pair<std::string, double>> scores;
    for (const auto& [key, value] : object_.items())
      if (value.is_number() && key != "step" && key != "examples") scores.emplace_back(key, value.get<double>());
    return scores;
  }

  [[nodiscard]] int64_t step() const {
    const std::optional<int64_t> step = step_named("step");
    if (!step) throw FormatError({file_, number_, "step"}, fmt::format("a step on line {}", number_), "none");
    return *step;
  }

  [[nodiscard]] std::optional<int64_t> step_named(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end()) return std::nullopt;
    if (!found->is_number_integer() || found->get<double>() < 0 || found->get<double>() > 9e15) refuse(key, "a whole number >= 0", *found);
    return found->get<int64_t>();
  }

  [[nodiscard]] std::vector<PositionLoss> by_position() const {
    std::vector<PositionLoss> bins;
    const auto found = object_.find("by_position");
    if (found == object_.end() || found->is_null()) return bins;
    if (!found->is_array()) refuse("by_position", "a list", *found);
    for (const Json& entry : *found) {
      if (!entry.is_object()) refuse("by_position", "a list of objects", entry);
      const Line bin(entry, file_, number_);
      bins.push_back({bin.number("begin"), bin.number("end"), bin.number("nats_per_token")});
    }
    return bins;
  }

 private:
  [[noreturn]] void refuse(const char* key, std::string_view expected, const Json& got) const {
    const std::string text = got.dump(-1, ' ', true, Json::error_handler_t::replace);
    throw FormatError({file_, number_, key}, fmt::format("{} on line {}", expected, number_), io::excerpt(text, 80));
  }

  const Json& object_;
  const std::string& file_;
  int64_t number_;
};

// Everything read so far, by what makes two lines the same, so that the last one written stands.
struct Collected {
  std::map<int64_t, TrainPoint> train;
  std::map<std::tuple<int64_t, std::string, std::string>, Evaluation> evaluations;
  std::map<std::tuple<int64_t, std::string, std::string>, TaskScore> scores;
  std::map<std::pair<int64_t, std::string>, Sample> samples;
  std::vector<Reference> references;
  std::map<std::pair<std::string, std::string>, size_t> reference_places;
  std::vector<std::string> notes;

  /// Drops what stands of steps from `first` on: the run went back before it, and what follows replaces them.
  void go_back_before(int64_t first) {
    const auto is_later = [first](const auto& entry) { return entry.second.step >= first; };
    std::erase_if(train, is_later);
    std::erase_if(evaluations, is_later);
    std::erase_if(scores, is_later);
    std::erase_if(samples, is_later);
  }
};

void add_reference(const Line& line, Collected& all) {
  Reference reference = {line.text("name"), line.text("file"), line.number("bits_per_byte")};
  const auto place = all.reference_places.try_emplace({reference.name, reference.file}, all.references.size());
  if (place.second) all.references.emplace_back();
  all.references[place.first->second] = std::move(reference);
}

void add_line(const Line& line, Collected& all) {
  const std::string kind = line.text("kind");
  if (kind == "train") {
    const int64_t step = line.step();
    if (!all.train.empty() && step <= all.train.rbegin()->first) all.go_back_before(step);
    all.train[step] = {step,
                       line.number("tokens"),
                       line.number("loss"),
                       line.number("bits_per_byte"),
                       line.number("lr"),
                       line.number("grad_norm"),
                       line.number("tokens_per_s"),
                       line.number("resident_mb")};
  } else if (kind == "eval") {
    Evaluation eval = {line.step(),
                       line.text("file"),
                       line.text("context"),
                       line.number("nats_per_token"),
                       line.number("perplexity"),
                       line.number("bits_per_byte"),
                       line.by_position()};
    auto key = std::make_tuple(eval.step, eval.file, eval.context);
    all.evaluations[std::move(key)] = std::move(eval);
  } else if (kind == "task-eval") {
    const int64_t step = line.step();
    const std::string file = line.text("file");
    for (const auto& [name, value] : line.scores()) all.scores[{step, file, name}] = {step, file, name, value};
  } else if (kind == "sample") {
    Sample sample = {line.step(), line.text("prompt"), line.text("text")};
    auto key = std::make_pair(sample.step, sample.prompt);
    all.samples[std::move(key)] = std::move(sample);
  } else if (kind == "reference") {
    add_reference(line, all);
  } else if (kind == "note") {
    if (const auto resumed = line.step_named("resumed_step")) all.go_back_before(*resumed + 1);
    all.notes.push_back(line.text("text"));
  }
}

void note_missing_losses(const Collected& all, Run& run) {
  int64_t count = 0;
  int64_t first = -1;
  for (const auto& entry : all.train) {
    if (std::isfinite(entry.second.loss)) continue;
    if (count++ == 0) first = entry.first;
  }
  if (count > 0) run.notes.push_back(fmt::format("No finite loss at {} of {} logged steps, the first of them {}.", count, all.train.size(), first));
}

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

std::string_view next_line(std::string_view& rest) {
  const size_t end = rest.find('\n');
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return line;
}

std::string plain_value(std::string_view value) {
  if (!value.empty() && (value.front() == '"' || value.front() == '\'')) {
    const size_t close = value.find(value.front(), 1);
    return std::string(value.substr(1, close == std::string_view::npos ? close : close - 1));
  }
  return std::string(trim(value.substr(0, value.find('#'))));
}

}  // namespace

void read_metrics(std::string_view text, const std::string& file, Run& run) {
  Collected all;
  int64_t number = 0;
  bool cut_off = false;
  while (!text.empty()) {
    const bool is_whole = text.find('\n') != std::string_view::npos;
    const std::string_view line = next_line(text);
    ++number;
    if (trim(line).empty()) continue;
    const std::optional<Json> object = parse_line(line, file);
    if (!object) {
      if (!is_whole) {
        cut_off = true;
        break;
      }
      throw FormatError({file, number, ""}, fmt::format("a valid JSON object on line {}", number), io::excerpt(line, 80),
                        "delete this line to plot the others; a half-written one is passed over only at the end of the file");
    }
    add_line(Line(*object, file, number), all);
  }
  for (auto& entry : all.train) run.train.push_back(entry.second);
  for (auto& entry : all.evaluations) run.evaluations.push_back(std::move(entry.second));
  for (auto& entry : all.scores) run.scores.push_back(std::move(entry.second));
  for (auto& entry : all.samples) run.samples.push_back(std::move(entry.second));
  run.references = std::move(all.references);
  run.notes = std::move(all.notes);
  note_missing_losses(all, run);
  if (cut_off)
    run.notes.push_back(fmt::format("The last line of {} (line {}) was cut off and is left out: the run was stopped while it wrote.",
                                    std::filesystem::path(file).filename().string(), number));
}

std::vector<std::pair<std::string, std::string>> read_settings(std::string_view toml) {
  std::vector<std::pair<std::string, std::string>> settings;
  std::string section;
  while (!toml.empty()) {
    const std::string_view line = trim(next_line(toml));
    if (line.empty() || line.front() == '#') continue;
    if (line.front() == '[') {
      const size_t begin = line.find_first_not_of('[');
      const size_t end = line.find(']');
      if (begin != std::string_view::npos && end != std::string_view::npos && begin < end) section = trim(line.substr(begin, end - begin));
      continue;
    }
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    std::string value(trim(line.substr(equals + 1)));
    while (!value.empty() && value.front() == '[' && value.find(']') == std::string::npos && !toml.empty())
      value += fmt::format(" {}", trim(next_line(toml)));
    const std::string_view key = trim(line.substr(0, equals));
    settings.emplace_back(section.empty() ? std::string(key) : fmt::format("{}.{}", section, key), plain_value(value));
  }
  return settings;
}

}  // namespace everlong::report
