#pragma once
// Messages for people, on stderr; data goes to stdout.

#include <string_view>

namespace everlong {

enum class LogLevel { quiet, normal, verbose };

/// Sets what is shown. Default: normal (warnings and progress notes).
void set_log_level(LogLevel level);

void log_warning(std::string_view message);  ///< shown unless quiet
void log_info(std::string_view message);     ///< shown unless quiet
void log_debug(std::string_view message);    ///< shown when verbose

}  // namespace everlong
