#include <fmt/format.h>

#include <set>

#include "everlong/base/error.h"
#include "everlong/report/chart_data.h"
#include "everlong/report/embedded.h"
#include "everlong/report/markup.h"
#include "everlong/report/palette.h"
#include "everlong/report/report.h"
#include "everlong/report/sections.h"

namespace everlong::report {
namespace {

// A chart of the page; the script draws into the element chart-<id>.
struct Chart {
  std::string_view id;
  std::string_view title;
  std::string_view caption;
  bool is_wide = false;
};

constexpr Chart kCharts[] = {
    {"loss", "Training loss",
     "Pale: logged values; strong: their moving average; circles: evaluations. The first steps may lie above the frame; enlarge them to see them. "
     "Look for a steady fall. A rise that stays is a divergence; training "
     "that falls while evaluation rises is overfitting.",
     true},
    {"evaluation", "Evaluation", "Loss on whole held-out files. Runs are to be compared here, not by their training loss."},
    {"scores", "Scores of the task",
     "What the task is known by (accuracy, F1, correlation, ...) on whole labelled files. The best step is where to stop."},
    {"position", "Loss by position in the document",
     "Mean loss of the tokens at each distance from the document's start, at the last evaluation. A line that keeps falling to the right uses its "
     "long context; one that is flat beyond some position has forgotten what lies further back."},
    {"learning-rate", "Learning rate", "What the schedule asked for: warm-up, plateau, decay. A jump is a resume with other settings."},
    {"gradient-norm", "Gradient norm",
     "Before clipping. Spikes that grow in height or number announce a divergence; a slow rise with a flat loss asks for a lower learning rate."},
    {"speed", "Speed", "Tokens trained per second. A sag is another process or swapping; a dip at regular distances is evaluation or a checkpoint."},
    {"memory", "Memory", "Resident memory of the process. It must level off: unlimited context has a state of fixed size. A steady slope is a leak."},
};

std::string colours() {
  const auto block = [](std::string_view Ink::*tone) {
    std::string text = fmt::format("--ground:{};--text:{};--muted:{};--grid:{};--line:{};", kGround.*tone, kText.*tone, kMuted.*tone, kGrid.*tone,
                                   tone == &Ink::light ? "#c3c9d2" : "#464d5a");
    for (size_t i = 0; i < kInks.size(); ++i) text += fmt::format("--ink-{}:{};", i, kInks[i].*tone);
    return text;
  };
  return fmt::format(":root{{color-scheme:light dark;{}}}\n@media (prefers-color-scheme:dark){{:root{{{}}}}}\n", block(&Ink::light),
                     block(&Ink::dark));
}

std::string head(const ReportOptions& options) {
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n";
  out += fmt::format("<title>{}</title>\n<style>{}</style>\n<style>\n{}{}</style>\n", escape_html(options.title), embedded::kUplotStyle, colours(),
                     embedded::kPageStyle);
  return out + "</head>\n";
}

std::string choice(std::string_view name, std::string_view value, std::string_view label, bool is_on) {
  return fmt::format("<button type=\"button\" data-choice=\"{}\" data-value=\"{}\" aria-pressed=\"{}\">{}</button>", name, value, is_on, label);
}

std::string controls(const std::vector<std::string>& names) {
  std::string out =
      "<nav class=\"controls\" aria-label=\"What the charts show\" hidden>\n<div class=\"group runs\" role=\"group\" aria-label=\"Runs\">";
  for (size_t i = 0; i < names.size(); ++i)
    out +=
        fmt::format("<button type=\"button\" data-run=\"{}\" aria-pressed=\"true\">{}{}</button>", i, swatch(i), escape_html(shorten(names[i], 80)));
  out += "</div>\n<div class=\"group\" role=\"group\" aria-label=\"Horizontal axis\">" + choice("x", "step", "steps", true) +
         choice("x", "tokens", "tokens", false);
  out += "</div>\n<div class=\"group\" role=\"group\" aria-label=\"Unit of the loss\">" + choice("unit", "nats", "nats per token", true) +
         choice("unit", "bits", "bits per byte", false);
  return out + "</div>\n<div class=\"group\"><button type=\"button\" id=\"plain\" aria-pressed=\"true\">logged values</button></div>\n</nav>\n";
}

std::string charts() {
  std::string out = "<div class=\"charts\">\n";
  for (const Chart& chart : kCharts)
    out += fmt::format(
        "<figure id=\"chart-{}\"{}><h2>{}</h2>"
        "<div class=\"plot\" tabindex=\"0\" role=\"group\" aria-label=\"Chart: {}\"></div><figcaption class=\"caption\">{}</figcaption></figure>\n",
        chart.id, chart.is_wide ? " class=\"wide\"" : "", chart.title, chart.title, chart.caption);
  return out + "</div>\n";
}

std::string page(const PageInput& input, const ReportOptions& options) {
  std::string out = head(options);
  out += fmt::format(
      "<body>\n<header><h1>{}</h1><p>{}. Drag across a chart to enlarge a stretch, double-click to go back; on the keyboard: arrows, + and "
      "\xE2\x88\x92, Esc.</p></header>\n",
      escape_html(options.title), input.runs.size() == 1 ? "One run" : fmt::format("{} runs", input.runs.size()));
  out += controls(input.names) + "<main>\n" + summary_section(input) + notes_section(input) + charts();
  out += scores_section(input) + bars_section(input) + samples_section(input) + differences_section(input) + settings_section(input);
  out += "</main>\n<footer>Drawn by everlong with uPlot.</footer>\n<noscript>The charts need JavaScript; tables and texts do not.</noscript>\n";
  out += fmt::format("<script type=\"application/json\" id=\"data\">{}</script>\n", chart_data(input.runs, input.names, input.detail));
  out += fmt::format("<!-- uPlot:\n{}\n-->\n<script>{}</script>\n<script>\n{}</script>\n</body>\n</html>\n", embedded::kUplotLicense,
                     embedded::kUplotScript, embedded::kPageScript);
  return out;
}

std::vector<std::string> distinct_names(std::span<const Run> runs) {
  std::vector<std::string> names;
  std::set<std::string> used;
  for (const Run& run : runs) {
    std::string name = run.name.empty() ? "run" : run.name;
    for (int copy = 2; !used.insert(name).second; ++copy) name = fmt::format("{} ({})", run.name.empty() ? "run" : run.name, copy);
    names.push_back(name);
  }
  return names;
}

}  // namespace

std::string render_report(std::span<const Run> runs, const ReportOptions& options) {
  require(!runs.empty() && runs.size() <= kMaxRuns, [&] {
    return Complaint{.where = "report",
                     .expected = fmt::format("1 to {} runs", kMaxRuns),
                     .got = fmt::format("{}", runs.size()),
                     .hint = "more lines than that cannot be told apart; compare them in groups"};
  });
  const std::vector<std::string> names = distinct_names(runs);
  Detail detail;
  detail.buckets = std::min<size_t>(detail.buckets, 2400 / runs.size());
  std::string html = page({runs, names, detail}, options);
  while (html.size() > options.max_bytes && detail.buckets > 8) {
    detail = {detail.buckets / 2, detail.text_bytes / 2, std::max<size_t>(detail.max_lists / 2, 4)};
    html = page({runs, names, detail}, options);
  }
  return html;
}

}  // namespace everlong::report
