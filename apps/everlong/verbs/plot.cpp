#include "apps/everlong/verbs/plot.h"

#include <vector>

#include "apps/everlong/output.h"
#include "everlong/base/log.h"
#include "everlong/io/atomic_file.h"
#include "everlong/report/report.h"

namespace everlong::app {

Syntax declare_plot(Syntax& program, PlotOptions& options) {
  Syntax verb = program.verb("plot", "Draw the metrics of runs as one HTML page that needs nothing else");
  verb.values("RUN", options.runs, Kind::directory, "Run directories").required();
  verb.value("-o,--out", options.out, Kind::file, "HTML file to write; - is standard output").required();
  verb.value("--title", options.title, Kind::text, "Heading of the page");
  verb.example("everlong plot runs/* -o report.html");
  return verb;
}

int run_plot(const PlotOptions& options) {
  std::vector<report::Run> runs;
  for (const std::string& directory : options.runs) runs.push_back(report::load_run(directory));
  report::ReportOptions layout;
  if (!options.title.empty()) layout.title = options.title;
  const std::string page = report::render_report(runs, layout);
  if (options.out == "-") {
    print(page);
    return 0;
  }
  io::atomic_write_text(options.out, page);
  log_info("wrote " + options.out + ", " + human_bytes(static_cast<int64_t>(page.size())));
  return 0;
}

}  // namespace everlong::app
