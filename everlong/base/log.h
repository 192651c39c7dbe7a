#pragma once
// Messages for people, on stderr; data goes to stdout.

#include <functional>
#include <string_view>

namespace everlong {

enum class LogLevel { quiet, normal, verbose };

/// Sets what is shown. Default: normal (warnings and progress notes).
void set_log_level(LogLevel level);

/// Wraps the printing of every message that is shown in `frame`, which calls `print` once; for a program that keeps a line of its own on the
/// terminal. An empty function: messages are printed as they come, the default.
/// Threads  messages of several threads are framed one after the other; a frame must not log
using LogFrame = std::function<void(const std::function<void()>& print)>;
void set_log_frame(LogFrame frame);

void log_warning(std::string_view message);  ///< shown unless quiet
void log_info(std::string_view message);     ///< shown unless quiet
void log_debug(std::string_view message);    ///< shown when verbose

}  // namespace everlong
