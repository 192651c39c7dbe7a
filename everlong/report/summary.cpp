#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <set>

#include "everlong/report/markup.h"
#include "everlong/report/sections.h"
#include "everlong/report/series.h"

namespace everlong::report {
namespace {

// Logged losses that the table's training loss is the mean of.
constexpr size_t kFinalPoints = 20;
constexpr size_t kMaxSettings = 60;

// The columns of evaluated files: (file, context), in the order of names.
using FileColumns = std::vector<std::pair<std::string, std::string>>;

FileColumns file_columns(const PageInput& input) {
  std::set<std::pair<std::string, std::string>> all;
  for (const Run& run : input.runs)
    for (const EvaluatedFile& file : evaluated_files(run, input.detail.max_lists)) all.insert({file.file, file.context});
  FileColumns columns(all.begin(), all.end());
  columns.resize(std::min(columns.size(), input.detail.max_lists));
  return columns;
}

// The value of the first setting whose last component is one of `names`; empty if none is.
template <size_t N>
std::string setting(const Run& run, const std::array<std::string_view, N>& names) {
  for (const auto& entry : run.settings) {
    const std::string& key = entry.first;
    const size_t dot = key.rfind('.');
    const std::string_view last = std::string_view(key).substr(dot == std::string::npos ? 0 : dot + 1);
    if (std::find(names.begin(), names.end(), last) != names.end()) return entry.second;
  }
  return {};
}

double number_of(std::string text) {
  std::erase(text, '_');
  double value = kMissing;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc() ? value : kMissing;
}

std::string cell(std::string_view html) { return fmt::format("<td>{}</td>", html); }

std::string steps_text(const Run& run) {
  const double planned = number_of(setting(run, std::to_array<std::string_view>({"steps", "max_steps", "total_steps", "num_steps"})));
  const std::string done = run.train.empty() ? std::string("\xE2\x80\x93") : fmt::format("{}", run.train.back().step);
  return std::isfinite(planned) ? fmt::format("{} of {:.0f}", done, planned) : done;
}

std::string run_row(const PageInput& input, size_t index, const FileColumns& columns, bool with_parameters) {
  const Run& run = input.runs[index];
  std::string row = fmt::format("<tr><th scope=\"row\">{}{}</th>", swatch(index), escape_html(shorten(input.names[index], 200)));
  if (with_parameters) row += cell(short_count(number_of(setting(run, std::to_array<std::string_view>({"parameters", "num_parameters"})))));
  row += cell(steps_text(run));
  row += cell(short_count(greatest(column(run.train, &TrainPoint::tokens))));
  row += cell(fixed(mean_of_last(column(run.train, &TrainPoint::loss), kFinalPoints), 3));
  const std::vector<EvaluatedFile> files = evaluated_files(run, input.detail.max_lists);
  for (const auto& entry : columns) {
    const auto found =
        std::find_if(files.begin(), files.end(), [&](const EvaluatedFile& file) { return file.file == entry.first && file.context == entry.second; });
    row += cell(fixed(found == files.end() ? kMissing : found->last().bits_per_byte, 3));
  }
  row += cell(short_count(median(column(run.train, &TrainPoint::tokens_per_s))));
  row += cell(fixed(greatest(column(run.train, &TrainPoint::resident_mb)), 0));
  return row + "</tr>\n";
}

// Compressors know no context: one value a file stands in all of its columns.
std::string reference_rows(const PageInput& input, const FileColumns& columns, bool with_parameters) {
  std::vector<std::string> names;
  for (const Run& run : input.runs)
    for (const Reference& reference : run.references)
      if (names.size() < input.detail.max_lists && std::find(names.begin(), names.end(), reference.name) == names.end())
        names.push_back(reference.name);
  std::string rows;
  for (const std::string& name : names) {
    rows += fmt::format("<tr class=\"reference\"><th scope=\"row\">{}</th>", escape_html(shorten(name, 200)));
    for (int blank = with_parameters ? 4 : 3; blank > 0; --blank) rows += cell("");
    for (const auto& entry : columns) {
      double value = kMissing;
      for (const Run& run : input.runs)
        for (const Reference& reference : run.references)
          if (reference.name == name && reference.file == entry.first) value = reference.bits_per_byte;
      rows += cell(fixed(value, 3));
    }
    rows += cell("") + cell("") + "</tr>\n";
  }
  return rows;
}

// Keys whose values are not the same in all runs, in the order of first appearance.
std::vector<std::string> differing_keys(const std::vector<std::map<std::string, std::string>>& settings, std::span<const Run> runs) {
  std::vector<std::string> keys;
  std::set<std::string> seen;
  for (const Run& run : runs) {
    for (const auto& entry : run.settings) {
      if (keys.size() >= kMaxSettings || !seen.insert(entry.first).second) continue;
      const auto value_in = [&](const std::map<std::string, std::string>& all) {
        const auto found = all.find(entry.first);
        return found == all.end() ? std::string() : found->second;
      };
      const std::string first = value_in(settings.front());
      const auto differs = [&](const auto& all) { return value_in(all) != first; };
      if (std::any_of(settings.begin(), settings.end(), differs)) keys.push_back(entry.first);
    }
  }
  return keys;
}

}  // namespace

std::string summary_section(const PageInput& input) {
  const FileColumns columns = file_columns(input);
  const auto has_parameters = [](const Run& run) {
    return std::isfinite(number_of(setting(run, std::to_array<std::string_view>({"parameters", "num_parameters"}))));
  };
  const bool with_parameters = std::any_of(input.runs.begin(), input.runs.end(), has_parameters);
  std::string out =
      "<section id=\"summary\"><h2>Summary</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Summary table\"><table>\n";
  out += "<thead><tr><th scope=\"col\">run</th>";
  if (with_parameters) out += "<th scope=\"col\">parameters</th>";
  out += "<th scope=\"col\">steps</th><th scope=\"col\">tokens</th><th scope=\"col\">training loss<small>nats per token</small></th>";
  for (const auto& entry : columns)
    out += fmt::format("<th scope=\"col\">{}<small>{}bits per byte</small></th>",
                       escape_html(shorten(entry.first.empty() ? "evaluation" : entry.first, 100)),
                       entry.second.empty() ? "" : escape_html(shorten(entry.second, 100)) + ", ");
  out += "<th scope=\"col\">speed<small>tokens/s</small></th><th scope=\"col\">memory<small>MB, peak</small></th></tr></thead>\n<tbody>\n";
  for (size_t i = 0; i < input.runs.size(); ++i) out += run_row(input, i, columns, with_parameters);
  out += reference_rows(input, columns, with_parameters);
  return out +
         fmt::format(
             "</tbody></table></div>\n<p class=\"caption\">Training loss is the mean of the last {} logged values; bits per byte are of the last "
             "evaluation; speed is the median. Lower is better in both. The rows in grey are general compressors.</p></section>\n",
             kFinalPoints);
}

std::string differences_section(const PageInput& input) {
  if (input.runs.size() < 2) return {};
  std::vector<std::map<std::string, std::string>> settings;
  for (const Run& run : input.runs) settings.emplace_back(run.settings.begin(), run.settings.end());
  std::string out = "<section id=\"differences\"><h2>What differs</h2>\n<p class=\"caption\">Settings that are not the same in all runs.</p>\n";
  const std::vector<std::string> keys = differing_keys(settings, input.runs);
  if (keys.empty()) return out + "<p class=\"empty\">All settings are the same.</p></section>\n";
  out += "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Differing settings\"><table><thead><tr><th scope=\"col\">setting</th>";
  for (size_t i = 0; i < input.runs.size(); ++i)
    out += fmt::format("<th scope=\"col\">{}{}</th>", swatch(i), escape_html(shorten(input.names[i], 200)));
  out += "</tr></thead>\n<tbody>\n";
  for (const std::string& key : keys) {
    out += fmt::format("<tr><th scope=\"row\">{}</th>", escape_html(shorten(key, 100)));
    for (const auto& all : settings) {
      const auto found = all.find(key);
      out += cell(found == all.end() ? "\xE2\x80\x93" : escape_html(shorten(found->second, 100)));
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table></div></section>\n";
}

}  // namespace everlong::report
