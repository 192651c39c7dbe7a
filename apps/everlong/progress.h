#pragma once
// Where a long computation stands: one line that is redrawn on a terminal, a line now and then elsewhere.

#include <cstdint>
#include <cstdio>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "apps/everlong/terminal.h"

namespace everlong::app {

/// What is known at one step; what is absent is not shown.
struct ProgressSample {
  int64_t step = 0;
  int64_t total_steps = 0;     ///< 0 = unknown: no bar, no percentage, no estimate
  std::optional<double> loss;  ///< nats per token
  std::optional<double> bits_per_byte;
  std::optional<double> tokens_per_second;
  std::optional<double> learning_rate;
  std::optional<double> grad_norm;
  std::optional<int64_t> memory_bytes;
  std::optional<double> remaining_s;  ///< estimated by Progress where absent
};

/// The line for a terminal, at most `width` columns wide; details that do not fit are left out from the right.
[[nodiscard]] std::string progress_bar(const ProgressSample& sample, int width, bool color);

/// The line for a log: everything that is known, as words and numbers, without control characters.
[[nodiscard]] std::string progress_line(const ProgressSample& sample);

struct ProgressOptions {
  std::FILE* stream = stderr;
  std::optional<Terminal> terminal;  ///< none = ask the stream
  bool quiet = false;
  double redraw_s = 0.1;                    ///< on a terminal
  double interval_s = 10;                   ///< between plain lines
  std::function<double()> clock = nullptr;  ///< seconds from any start; none = a steady clock
};

/// Shows samples as they come; what the library logs meanwhile is printed on a cleared line, like message(). At most one object at a time.
/// State    the line on the terminal is gone when the object is
/// Threads  all members may be called, and messages logged, from several threads
class Progress {
 public:
  explicit Progress(ProgressOptions options = {});
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Shows the sample, unless the last one was shown too short a time ago.
  void update(ProgressSample sample);

  /// Removes the line from the terminal, so that something else can be printed.
  void clear();

  /// Prints a line of text between two redraws of the progress line.
  void message(std::string_view text);

  /// Shows the last sample for good: the line stays, and what follows begins below it.
  void finish();

 private:
  void clear_line();
  /// Calls `print` on a cleared line, and shows the progress again below it.
  void interject(const std::function<void()>& print);
  void show(const ProgressSample& sample);
  void estimate(ProgressSample& sample, double now) const;

  std::mutex mutex_;
  ProgressOptions options_;
  Terminal terminal_;
  double started_at_ = 0;
  int64_t first_step_ = 0;
  std::optional<double> shown_at_;
  std::optional<ProgressSample> last_;
  bool last_is_shown_ = false;
  bool line_is_up_ = false;
};

}  // namespace everlong::app
