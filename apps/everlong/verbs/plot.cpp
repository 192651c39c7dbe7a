#include "apps/everlong/verbs/plot.h"

#include "everlong/base/error.h"

namespace everlong::app {

Syntax declare_plot(Syntax& program, PlotOptions& options) {
  Syntax verb = program.verb("plot", "Draw the metrics of runs as one HTML page that needs nothing else");
  verb.values("RUN", options.runs, Kind::directory, "Run directories, or metrics.jsonl files").required();
  verb.value("-o,--out", options.out, Kind::file, "HTML file to write; - is standard output").required();
  verb.value("--title", options.title, Kind::text, "Heading of the page");
  verb.example("everlong plot runs/* -o report.html");
  return verb;
}

int run_plot(const PlotOptions&) { throw Unsupported({.where = "plot", .expected = "a verb that is built in this version"}); }

}  // namespace everlong::app
