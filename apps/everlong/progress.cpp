#include "apps/everlong/progress.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "apps/everlong/output.h"
#include "everlong/base/log.h"

namespace everlong::app {
namespace {

constexpr int kWidestBar = 24;
constexpr int kNarrowestBar = 8;

double steady_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double fraction_of(const ProgressSample& sample) {
  if (sample.total_steps <= 0) return 0;
  return std::clamp(static_cast<double>(sample.step) / static_cast<double>(sample.total_steps), 0.0, 1.0);
}

std::string step_text(const ProgressSample& sample) {
  return sample.total_steps > 0 ? fmt::format("{}/{}", sample.step, sample.total_steps) : fmt::format("step {}", sample.step);
}

/// In the order in which they matter: the last are the first to be left out.
std::vector<std::string> details(const ProgressSample& sample) {
  std::vector<std::string> texts;
  if (sample.loss) texts.push_back(fmt::format("loss {:.4f}", *sample.loss));
  if (sample.remaining_s) texts.push_back("eta " + human_duration(*sample.remaining_s));
  if (sample.bits_per_byte) texts.push_back(fmt::format("bpb {:.3f}", *sample.bits_per_byte));
  if (sample.tokens_per_second) texts.push_back(human_count(*sample.tokens_per_second) + " tok/s");
  if (sample.learning_rate) texts.push_back(fmt::format("lr {:.2e}", *sample.learning_rate));
  if (sample.grad_norm) texts.push_back(fmt::format("|g| {:.2f}", *sample.grad_norm));
  if (sample.memory_bytes) texts.push_back("mem " + human_bytes(*sample.memory_bytes));
  return texts;
}

std::string bar_of(double fraction, int cells, bool color) {
  const int full = static_cast<int>(std::floor(fraction * cells));
  const std::string done(static_cast<size_t>(full), '#'), open(static_cast<size_t>(cells - full), '-');
  return color ? fmt::format("[\x1b[32m{}\x1b[90m{}\x1b[0m]", done, open) : fmt::format("[{}{}]", done, open);
}

}  // namespace

std::string progress_bar(const ProgressSample& sample, int width, bool color) {
  std::string text = step_text(sample);
  if (sample.total_steps > 0) text = fmt::format("{:3.0f}% {}", std::floor(100 * fraction_of(sample)), text);
  const int cells = std::min(kWidestBar, width / 4);
  const bool with_bar = sample.total_steps > 0 && cells >= kNarrowestBar && static_cast<int>(text.size()) + cells + 3 <= width;
  int left = width - static_cast<int>(text.size()) - (with_bar ? cells + 3 : 0);
  for (const std::string& detail : details(sample)) {
    if (static_cast<int>(detail.size()) + 2 > left) break;
    text += "  " + detail;
    left -= static_cast<int>(detail.size()) + 2;
  }
  if (with_bar) return fmt::format("{} {}", bar_of(fraction_of(sample), cells, color), text);
  return text.substr(0, static_cast<size_t>(std::max(width, 0)));
}

std::string progress_line(const ProgressSample& sample) {
  std::string text =
      sample.total_steps > 0 ? fmt::format("step {} ({:.0f}%)", step_text(sample), std::floor(100 * fraction_of(sample))) : step_text(sample);
  for (const std::string& detail : details(sample)) text += "  " + detail;
  return text;
}

Progress::Progress(ProgressOptions options) : options_(std::move(options)) {
  if (!options_.clock) options_.clock = steady_seconds;
  terminal_ = options_.terminal.value_or(terminal_of(options_.stream));
  set_log_frame([this](const std::function<void()>& print) {
    const std::lock_guard lock(mutex_);
    interject(print);
  });
}

Progress::~Progress() {
  set_log_frame({});
  clear_line();
}

void Progress::update(ProgressSample sample) {
  if (options_.quiet) return;
  const std::lock_guard lock(mutex_);
  const double now = options_.clock();
  if (!last_) {
    started_at_ = now;
    first_step_ = sample.step;
  }
  estimate(sample, now);
  last_ = sample;
  last_is_shown_ = false;
  const double wait = terminal_.interactive ? options_.redraw_s : options_.interval_s;
  if (shown_at_ && now - *shown_at_ < wait) return;
  shown_at_ = now;
  show(sample);
}

void Progress::clear() {
  const std::lock_guard lock(mutex_);
  clear_line();
}

void Progress::clear_line() {
  if (!line_is_up_) return;
  std::fputs("\r\x1b[K", options_.stream);
  std::fflush(options_.stream);
  line_is_up_ = false;
}

void Progress::message(std::string_view text) {
  const std::lock_guard lock(mutex_);
  interject([&] { std::fputs(fmt::format("{}\n", text).c_str(), options_.stream); });
}

void Progress::interject(const std::function<void()>& print) {
  const bool was_up = line_is_up_;
  clear_line();
  print();
  if (was_up) show(*last_);
}

void Progress::finish() {
  const std::lock_guard lock(mutex_);
  if (options_.quiet || !last_) return;
  if (!last_is_shown_ || (terminal_.interactive && !line_is_up_)) show(*last_);
  if (line_is_up_) std::fputs("\n", options_.stream);
  std::fflush(options_.stream);
  line_is_up_ = false;
  last_.reset();
  shown_at_.reset();
}

void Progress::show(const ProgressSample& sample) {
  if (terminal_.interactive) {
    std::fputs(("\r\x1b[K" + progress_bar(sample, terminal_.width - 1, terminal_.color)).c_str(), options_.stream);
    line_is_up_ = true;
  } else {
    std::fputs((progress_line(sample) + "\n").c_str(), options_.stream);
  }
  std::fflush(options_.stream);
  last_is_shown_ = true;
}

void Progress::estimate(ProgressSample& sample, double now) const {
  const int64_t done = sample.step - first_step_;
  if (sample.remaining_s || sample.total_steps <= 0 || done <= 0) return;
  const auto open = static_cast<double>(std::max<int64_t>(sample.total_steps - sample.step, 0));
  sample.remaining_s = (now - started_at_) / static_cast<double>(done) * open;
}

}  // namespace everlong::app
