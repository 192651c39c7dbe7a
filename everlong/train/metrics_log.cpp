#include "everlong/train/metrics_log.h"

#include <cerrno>
#include <cmath>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/io/atomic_file.h"
#include "everlong/io/json.h"
#include "everlong/io/mapped_file.h"
#include "everlong/io/tensorboard.h"
#include "everlong/train/trainer.h"

namespace everlong::train {
namespace {

constexpr int64_t kMaxMetricsBytes = int64_t{1} << 30;

/// The lines of metrics.jsonl that belong to steps up to `step`; a line that a killed process left unfinished is dropped.
std::string lines_up_to(const std::string& text, int64_t step) {
  std::string kept;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto object = io::Json::parse(line, nullptr, false);
    if (!object.is_object()) continue;
    if (object.contains("step") && object["step"].is_number_integer() && object["step"].get<int64_t>() > step) continue;
    kept += line + '\n';
  }
  return kept;
}

}  // namespace

struct MetricsLog::Files {
  Files(std::filesystem::path file, const std::filesystem::path& run) : path(std::move(file)), lines(path, std::ios::app | std::ios::binary), events(run) {}

  std::filesystem::path path;
  std::ofstream lines;
  io::EventWriter events;

  void write(const io::OrderedJson& object) {
    lines << object.dump(-1, ' ', false, io::OrderedJson::error_handler_t::replace) << '\n';
    lines.flush();
    if (!lines) throw IoError("write", path.string(), errno, "is the disk full?");
  }
};

MetricsLog::MetricsLog(const std::filesystem::path& run, int64_t resumed_step) {
  const auto path = run / "metrics.jsonl";
  if (resumed_step >= 0 && std::filesystem::exists(path)) io::atomic_write_text(path, lines_up_to(io::read_text_file(path, kMaxMetricsBytes), resumed_step));
  files_ = std::make_unique<Files>(path, run);
  if (!files_->lines) throw IoError("open for writing", path.string(), errno);
}

MetricsLog::~MetricsLog() = default;

void MetricsLog::add(const StepReport& report) {
  io::OrderedJson line = {{"kind", "train"}, {"step", report.step}, {"tokens", report.tokens}, {"loss", report.loss}};
  if (report.bits_per_byte) line["bits_per_byte"] = *report.bits_per_byte;
  line["lr"] = report.lr;
  line["grad_norm"] = report.gradient_norm;
  line["tokens_per_s"] = std::round(report.tokens_per_s);
  line["resident_mb"] = std::round(report.resident_mb * 10) / 10;
  line["elapsed_s"] = std::round(report.elapsed_s * 1000) / 1000;
  files_->write(line);
  const auto scalar = [&](const char* name, double value) { files_->events.add_scalar(name, report.step, value); };
  scalar("train/loss", report.loss);
  if (report.bits_per_byte) scalar("train/bits_per_byte", *report.bits_per_byte);
  scalar("train/lr", report.lr);
  scalar("train/gradient_norm", report.gradient_norm);
  scalar("train/tokens_per_s", report.tokens_per_s);
  files_->events.flush();
}

void MetricsLog::add(int64_t step, const Evaluation& evaluation, Context context) {
  io::OrderedJson positions = io::OrderedJson::array();
  for (const PositionLoss& bucket : evaluation.by_position)
    positions.push_back({{"begin", bucket.begin}, {"end", bucket.end}, {"tokens", bucket.tokens}, {"nats_per_token", bucket.nats / static_cast<double>(bucket.tokens)}});
  files_->write({{"kind", "eval"},
                 {"step", step},
                 {"file", std::filesystem::path(evaluation.file).filename().string()},
                 {"context", context == Context::carry ? "carry" : "reset"},
                 {"tokens", evaluation.tokens},
                 {"bytes", evaluation.bytes},
                 {"nats_per_token", evaluation.nats_per_token()},
                 {"perplexity", evaluation.perplexity()},
                 {"bits_per_byte", evaluation.bits_per_byte()},
                 {"by_position", positions}});
  files_->events.add_scalar("eval/bits_per_byte", step, evaluation.bits_per_byte());
  files_->events.flush();
}

void MetricsLog::add(int64_t step, const TaskEvaluation& evaluation, std::string_view task) {
  io::OrderedJson line = {{"kind", "task-eval"},
                          {"step", step},
                          {"file", std::filesystem::path(evaluation.file).filename().string()},
                          {"task", task},
                          {"examples", evaluation.examples}};
  for (const auto& [name, value] : evaluation.scores) {
    line[name] = value;
    files_->events.add_scalar("eval/" + name, step, value);
  }
  files_->write(line);
  files_->events.flush();
}

void MetricsLog::add_sample(int64_t step, std::string_view prompt, std::string_view text) {
  files_->write({{"kind", "sample"}, {"step", step}, {"prompt", prompt}, {"text", text}});
}

void MetricsLog::add_resume(int64_t step) {
  files_->write({{"kind", "note"}, {"resumed_step", step}, {"text", fmt::format("resumed at step {}", step)}});
}

}  // namespace everlong::train
