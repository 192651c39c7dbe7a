#pragma once
// The parts of the page that need no script: tables, bars, samples, settings.

#include <span>
#include <string>
#include <vector>

#include "everlong/report/chart_data.h"
#include "everlong/report/report.h"

namespace everlong::report {

/// What all sections are made of.
struct PageInput {
  std::span<const Run> runs;
  const std::vector<std::string>& names;  ///< one a run, all different
  Detail detail;
};

/// The table of runs and, below them, of the reference compressors.
[[nodiscard]] std::string summary_section(const PageInput& input);

/// The settings in which the runs differ; empty for one run.
[[nodiscard]] std::string differences_section(const PageInput& input);

/// The last scores of each run on each labelled file; empty if no run has any.
[[nodiscard]] std::string scores_section(const PageInput& input);

/// Bars of bits per byte, one group an evaluated file, the best first.
[[nodiscard]] std::string bars_section(const PageInput& input);

/// The last sample of each prompt of each run.
[[nodiscard]] std::string samples_section(const PageInput& input);

/// Notes of the runs; empty if there is none.
[[nodiscard]] std::string notes_section(const PageInput& input);

/// The resolved config.toml of each run, folded.
[[nodiscard]] std::string settings_section(const PageInput& input);

/// The small coloured line that stands for run `index` in legends, tables and bars.
[[nodiscard]] std::string swatch(size_t index);

}  // namespace everlong::report
