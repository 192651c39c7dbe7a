#include "everlong/report/sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "everlong/report/markup.h"
#include "everlong/report/palette.h"

namespace everlong::report {
namespace {

constexpr size_t kNameBytes = 200;

std::string name_html(std::string_view name) { return escape_html(shorten(name, kNameBytes)); }

std::string heading(std::string_view id, std::string_view title, std::string_view caption) {
  return fmt::format("<section id=\"{}\"><h2>{}</h2>\n<p class=\"caption\">{}</p>\n", id, title, caption);
}

// One bar: a run's or a compressor's.
struct Bar {
  std::string label;  // HTML
  double bits_per_byte = kMissing;
  int ink = -1;  // index of the run; -1 for a compressor
};

using BarGroups = std::map<std::string, std::vector<Bar>>;

BarGroups bar_groups(const PageInput& input) {
  BarGroups groups;
  for (size_t i = 0; i < input.runs.size(); ++i) {
    for (const EvaluatedFile& file : evaluated_files(input.runs[i], input.detail.max_lists)) {
      if (!std::isfinite(file.last().bits_per_byte)) continue;
      std::string label = swatch(i) + name_html(input.names[i]);
      if (!file.context.empty()) label += fmt::format(" <span class=\"muted\">{}</span>", name_html(file.context));
      groups[file.file].push_back({label, file.last().bits_per_byte, static_cast<int>(i)});
    }
  }
  std::set<std::pair<std::string, std::string>> seen;
  for (const Run& run : input.runs) {
    for (const Reference& reference : run.references) {
      if (!std::isfinite(reference.bits_per_byte) || !seen.insert({reference.file, reference.name}).second) continue;
      if (seen.size() > input.detail.max_lists * 4) return groups;
      groups[reference.file].push_back({name_html(reference.name), reference.bits_per_byte, -1});
    }
  }
  return groups;
}

std::string bar_html(const Bar& bar, double longest) {
  const double width = longest > 0 ? std::clamp(100 * bar.bits_per_byte / longest, 0.0, 100.0) : 0;
  const std::string ink = bar.ink < 0 ? "var(--muted)" : fmt::format("var(--ink-{})", static_cast<size_t>(bar.ink) % kInks.size());
  return fmt::format(
      "<li><span class=\"bar-label\">{}</span><span class=\"bar-track\"><span class=\"bar\" style=\"width:{:.2f}%;background:{}\"></span></span>"
      "<span class=\"bar-value\">{:.3f}</span></li>\n",
      bar.label, width, ink, bar.bits_per_byte);
}

std::string sample_html(const Sample& sample, size_t max_bytes) {
  return fmt::format("<figure class=\"sample\"><figcaption>step {}</figcaption><blockquote><b>{}</b>{}</blockquote></figure>\n", sample.step,
                     escape_html(shorten(sample.prompt, max_bytes)), escape_html(shorten(sample.text, max_bytes)));
}

// The last sample of each prompt, in the order of prompts.
std::vector<const Sample*> last_samples(const Run& run, size_t max_prompts) {
  std::map<std::string_view, const Sample*> last;
  for (const Sample& sample : run.samples) last[sample.prompt] = &sample;
  std::vector<const Sample*> samples;
  for (const auto& entry : last)
    if (samples.size() < max_prompts) samples.push_back(entry.second);
  return samples;
}

}  // namespace

std::string swatch(size_t index) {
  return fmt::format("<i class=\"swatch dash-{}\" style=\"border-color:var(--ink-{})\"></i>", index / kInks.size(), index % kInks.size());
}

std::string bars_section(const PageInput& input) {
  std::string out = heading("bars", "Bits per byte against compressors",
                            "Last evaluation of each run beside general compressors on the same file. Shorter is better; a model that has learnt the "
                            "language is well below the grey bars.");
  BarGroups groups = bar_groups(input);
  if (groups.empty()) return out + "<p class=\"empty\">No bits per byte were recorded.</p></section>\n";
  for (auto& entry : groups) {
    std::vector<Bar>& bars = entry.second;
    std::stable_sort(bars.begin(), bars.end(), [](const Bar& a, const Bar& b) { return a.bits_per_byte < b.bits_per_byte; });
    out += fmt::format("<h3>{} <span class=\"muted\">(bits per byte)</span></h3>\n<ul class=\"bars\">\n",
                       entry.first.empty() ? "evaluation" : name_html(entry.first));
    for (const Bar& bar : bars) out += bar_html(bar, bars.back().bits_per_byte);
    out += "</ul>\n";
  }
  return out + "</section>\n";
}

std::string scores_section(const PageInput& input) {
  std::string rows;
  for (size_t i = 0; i < input.runs.size(); ++i) {
    for (const ScoreLine& line : score_lines(input.runs[i], input.detail.max_lists))
      rows += fmt::format("<tr><th scope=\"row\">{}{}</th><td>{}</td><td>{}</td><td>{}</td><td>{:.4g}</td></tr>\n", swatch(i),
                          name_html(input.names[i]), name_html(line.file), name_html(line.name), line.points.back()->step, line.last());
  }
  if (rows.empty()) return {};
  return heading("task-scores", "Scores", "How well each run did its task at its last evaluation. The loss is in nats a decision.") +
         "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table of scores\"><table>\n<thead><tr><th scope=\"col\">run</th>"
         "<th scope=\"col\">file</th><th scope=\"col\">score</th><th scope=\"col\">step</th><th scope=\"col\">value</th></tr></thead>\n<tbody>\n" +
         rows + "</tbody></table></div></section>\n";
}

std::string samples_section(const PageInput& input) {
  std::string out = heading("samples", "Samples", "What each run last wrote after each prompt (the prompt in bold).");
  bool any = false;
  for (size_t i = 0; i < input.runs.size(); ++i) {
    const std::vector<const Sample*> samples = last_samples(input.runs[i], input.detail.max_lists);
    if (samples.empty()) continue;
    any = true;
    out += fmt::format("<h3>{}{}</h3>\n", swatch(i), name_html(input.names[i]));
    const size_t max_bytes = std::min<size_t>(8000, input.detail.text_bytes / input.runs.size() / samples.size() / 2);
    for (const Sample* sample : samples) out += sample_html(*sample, max_bytes);
  }
  if (!any) out += "<p class=\"empty\">No samples were recorded.</p>";
  return out + "</section>\n";
}

std::string notes_section(const PageInput& input) {
  std::string items;
  for (size_t i = 0; i < input.runs.size(); ++i) {
    const std::vector<std::string>& notes = input.runs[i].notes;
    // The last notes matter most: they say how the run ended and how its file was read.
    const size_t first = notes.size() > input.detail.max_lists ? notes.size() - input.detail.max_lists : 0;
    if (first > 0) items += fmt::format("<li>{}{}: {} earlier notes left out</li>\n", swatch(i), name_html(input.names[i]), first);
    for (size_t k = first; k < notes.size(); ++k)
      items += fmt::format("<li>{}<b>{}</b>: {}</li>\n", swatch(i), name_html(input.names[i]), escape_html(shorten(notes[k], 1000)));
  }
  if (items.empty()) return {};
  return "<section id=\"notes\"><h2>Notes</h2>\n<ul class=\"notes\">\n" + items + "</ul></section>\n";
}

std::string settings_section(const PageInput& input) {
  std::string out = heading("settings", "Settings", "The resolved config.toml of each run: enough to repeat it.");
  const size_t max_bytes = std::min<size_t>(40'000, input.detail.text_bytes / input.runs.size());
  for (size_t i = 0; i < input.runs.size(); ++i)
    out += fmt::format("<details><summary>{}{}</summary><pre>{}</pre></details>\n", swatch(i), name_html(input.names[i]),
                       escape_html(shorten(input.runs[i].config_text, max_bytes)));
  return out + "</section>\n";
}

}  // namespace everlong::report
