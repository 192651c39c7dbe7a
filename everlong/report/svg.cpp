#include "everlong/report/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>

#include "everlong/base/error.h"
#include "everlong/report/markup.h"
#include "everlong/report/palette.h"
#include "everlong/report/report.h"

namespace everlong::report {
namespace {

constexpr double kTop = 44;
constexpr double kBottom = 52;
constexpr double kLeft = 68;
constexpr double kLetter = 7;  // about one letter of the names, in pixels
constexpr double kLineHeight = 17;
constexpr std::array<std::string_view, 3> kDashes = {"", "8 5", "2 4"};

// One axis: from values to pixels.
struct Axis {
  double low = 0;
  double high = 1;
  bool is_log = false;
  double from = 0;  // pixel of low
  double to = 1;    // pixel of high

  // Differences and quotients of what an axis takes stay finite.
  [[nodiscard]] bool takes(double value) const { return std::abs(value) <= 1e100 && (!is_log || value >= 1e-100); }
  [[nodiscard]] double scaled(double value) const { return is_log ? std::log10(value) : value; }
  [[nodiscard]] double pixel(double value) const { return from + (to - from) * (scaled(value) - scaled(low)) / (scaled(high) - scaled(low)); }
};

// Widens an axis so that it has some length, starts a linear one at zero where that is near, and gives the lines some air.
void settle(Axis& axis, bool with_room) {
  if (!(axis.low <= axis.high)) {
    axis.low = axis.is_log ? 1 : 0;
    axis.high = axis.is_log ? 10 : 1;
  }
  if (axis.low == axis.high) {
    const double room = axis.low == 0 ? 1 : std::abs(axis.low) / 2;
    axis.low -= room;
    axis.high += room;
  }
  if (!with_room) return;
  if (axis.is_log) {
    const double room = std::pow(axis.high / axis.low, 0.06);
    axis.low /= room;
    axis.high *= room;
  } else {
    const double room = (axis.high - axis.low) * 0.06;
    axis.low = axis.low >= 0 && axis.low < axis.high / 2 ? 0 : axis.low - room;
    axis.high += room;
  }
}

std::string style() {
  const auto rules = [](std::string_view Ink::*tone) {
    std::string text =
        fmt::format(".ground{{fill:{}}}.text{{fill:{}}}.muted{{fill:{}}}.grid{{stroke:{}}}", kGround.*tone, kText.*tone, kMuted.*tone, kGrid.*tone);
    for (size_t i = 0; i < kInks.size(); ++i) text += fmt::format(".s{0}{{stroke:{1}}}.t{0}{{fill:{1}}}", i, kInks[i].*tone);
    return text;
  };
  return fmt::format(
      "<style>text{{font:13px system-ui,-apple-system,\"Segoe UI\",Roboto,sans-serif}}.title{{font-size:15px;font-weight:600}}{}"
      "@media (prefers-color-scheme:dark){{{}}}</style>\n",
      rules(&Ink::light), rules(&Ink::dark));
}

std::string label(double x, double y, std::string_view anchor, std::string_view tone, std::string_view text, std::string_view more = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" class=\"{}\"{}>{}</text>\n", x, y, anchor, tone, more, escape_html(text));
}

/// Labels of marks, with as many digits as it takes to tell them apart.
std::vector<std::string> mark_labels(const std::vector<double>& marks) {
  std::vector<std::string> labels;
  for (int digits = 3; digits <= 9; ++digits) {
    labels.clear();
    for (const double mark : marks) labels.push_back(short_count(mark, digits));
    if (std::set<std::string>(labels.begin(), labels.end()).size() == labels.size()) break;
  }
  return labels;
}

std::string grid(const Axis& x, const Axis& y) {
  std::string out;
  const auto across = axis_marks(x.low, x.high, x.is_log, static_cast<int>((x.to - x.from) / 90)),
             up = axis_marks(y.low, y.high, y.is_log, static_cast<int>((y.from - y.to) / 50));
  const std::vector<std::string> across_labels = mark_labels(across), up_labels = mark_labels(up);
  for (size_t i = 0; i < across.size(); ++i) {
    const double at = x.pixel(across[i]);
    out += fmt::format("<path class=\"grid\" d=\"M{0:.1f} {1:.1f}V{2:.1f}\"/>\n", at, y.to, y.from);
    out += label(at, y.from + 18, "middle", "muted", across_labels[i]);
  }
  for (size_t i = 0; i < up.size(); ++i) {
    const double at = y.pixel(up[i]);
    out += fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", x.from, at, x.to);
    out += label(x.from - 8, at + 4.5, "end", "muted", up_labels[i]);
  }
  return out;
}

std::string line(const SvgSeries& series, size_t index, const Axis& x, const Axis& y) {
  std::string path;
  std::string dots;
  for (const auto& point : series.points) {
    if (!x.takes(point.first) || !y.takes(point.second)) continue;
    const double at_x = x.pixel(point.first);
    const double at_y = y.pixel(point.second);
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", at_x, at_y);
    if (series.points.size() <= 24)
      dots += fmt::format("<circle class=\"t{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.2\"/>\n", index % kInks.size(), at_x, at_y);
  }
  if (path.empty()) return {};
  return fmt::format("<path class=\"s{}\" fill=\"none\" stroke-width=\"2.2\" stroke-linejoin=\"round\" stroke-dasharray=\"{}\" d=\"{}\"/>\n",
                     index % kInks.size(), kDashes[index / kInks.size()], path) +
         dots;
}

// Names beside the ends of their lines, moved apart where they would overlap.
std::string names(std::span<const SvgSeries> series, const Axis& x, const Axis& y) {
  std::vector<std::pair<double, size_t>> ends;
  for (size_t i = 0; i < series.size(); ++i) {
    const auto& points = series[i].points;
    const auto last = std::find_if(points.rbegin(), points.rend(), [&](const auto& point) { return x.takes(point.first) && y.takes(point.second); });
    ends.emplace_back(last == points.rend() ? y.from : y.pixel(last->second), i);
  }
  std::sort(ends.begin(), ends.end());
  double free_from = y.to;
  for (auto& end : ends) free_from = (end.first = std::max(end.first, free_from)) + kLineHeight;
  double free_to = y.from;
  for (auto end = ends.rbegin(); end != ends.rend(); ++end) free_to = (end->first = std::min(end->first, free_to)) - kLineHeight;
  std::string out;
  for (const auto& end : ends)
    out += label(x.to + 10, end.first + 4.5, "start", fmt::format("t{}", end.second % kInks.size()), shorten(series[end.second].name, 60));
  return out;
}

}  // namespace

std::vector<double> axis_marks(double low, double high, bool is_log, int count) {
  count = std::clamp(count, 2, 20);
  std::vector<double> marks;
  if (is_log) {
    const double decades = std::log10(high / low);
    const double stride = std::max(1.0, std::ceil(decades / count));
    const bool with_middle = decades * 3 <= count;
    for (double power = std::floor(std::log10(low)); power <= std::log10(high) && marks.size() < 100; power += stride)
      for (const double factor : {1.0, 2.0, 5.0}) {
        const double mark = factor * std::pow(10, power);
        if ((factor == 1 || with_middle) && mark >= low * (1 - 1e-9) && mark <= high * (1 + 1e-9)) marks.push_back(mark);
      }
    return marks;
  }
  const double rough = (high - low) / count;
  const double unit = std::pow(10, std::floor(std::log10(rough)));
  const double step = unit * (rough / unit <= 1 ? 1 : rough / unit <= 2 ? 2 : rough / unit <= 5 ? 5 : 10);
  for (double k = std::ceil(low / step); k * step <= high + step * 1e-9 && marks.size() < 100; ++k) marks.push_back(k * step + 0.0);
  return marks;
}

std::string line_chart_svg(std::span<const SvgSeries> series, const SvgOptions& options) {
  require(series.size() <= kMaxRuns,
          [&] { return Complaint{.where = "svg", .expected = fmt::format("at most {} series", kMaxRuns), .got = fmt::format("{}", series.size())}; });
  const auto is_size = [](int pixels) { return pixels >= 240 && pixels <= 4000; };
  require(is_size(options.width) && is_size(options.height), [&] {
    return Complaint{.where = "svg", .expected = "width and height in [240, 4000]", .got = fmt::format("{} x {}", options.width, options.height)};
  });
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  size_t longest = 0;
  Axis x = {kInfinity, -kInfinity, options.log_x, kLeft, 0};
  Axis y = {kInfinity, -kInfinity, options.log_y, options.height - kBottom, kTop};
  for (const SvgSeries& one : series) {
    longest = std::max(longest, std::min<size_t>(one.name.size(), 60));
    for (const auto& point : one.points) {
      if (!x.takes(point.first) || !y.takes(point.second)) continue;
      x.low = std::min(x.low, point.first);
      x.high = std::max(x.high, point.first);
      y.low = std::min(y.low, point.second);
      y.high = std::max(y.high, point.second);
    }
  }
  x.to = options.width - std::min(24 + kLetter * static_cast<double>(longest), options.width / 2.5);
  settle(x, false);
  settle(y, true);
  std::string out =
      fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" aria-label=\"{2}\">\n",
                  options.width, options.height, escape_html(options.title));
  out += style() + fmt::format("<rect class=\"ground\" width=\"{}\" height=\"{}\" rx=\"6\"/>\n", options.width, options.height);
  out += label(kLeft, 26, "start", "text title", options.title) + grid(x, y);
  out += label((x.from + x.to) / 2, options.height - 12, "middle", "muted", options.x_label);
  const double middle = (y.from + y.to) / 2;
  out += label(18, middle, "middle", "muted", options.y_label, fmt::format(" transform=\"rotate(-90 18 {:.1f})\"", middle));
  for (size_t i = 0; i < series.size(); ++i) out += line(series[i], i, x, y);
  return out + names(series, x, y) + "</svg>\n";
}

}  // namespace everlong::report
