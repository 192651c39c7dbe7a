#pragma once
// everlong plot: options, their declaration, and what runs. No torch.

#include <string>
#include <vector>

#include "apps/everlong/syntax.h"

namespace everlong::app {

struct PlotOptions {
  std::vector<std::string> runs;
  std::string out;
  std::string title;
};

Syntax declare_plot(Syntax& program, PlotOptions& options);

/// Errors   FormatError if the metrics of a run are damaged; IoError for files
int run_plot(const PlotOptions& options);

}  // namespace everlong::app
