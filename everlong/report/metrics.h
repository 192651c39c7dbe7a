#pragma once
// The two files of a run directory, as text.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "everlong/report/report.h"

namespace everlong::report {

/// Reads the lines of metrics.jsonl into `run`. `file` is its name in messages.
/// Errors   as load_run
void read_metrics(std::string_view text, const std::string& file, Run& run);

/// The `key = value` lines of a TOML file, keys dotted by section, quotes taken off plain strings. For showing and comparing: what it does
/// not understand it leaves out.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> read_settings(std::string_view toml);

}  // namespace everlong::report
