#pragma once
// A small line chart as a stand-alone SVG picture, for documents.

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace everlong::report {

/// One line of a picture.
struct SvgSeries {
  std::string name;
  std::vector<std::pair<double, double>> points;  ///< (x, y), in the order in which they are joined
};

struct SvgOptions {
  std::string title;
  std::string x_label;  ///< with its unit
  std::string y_label;  ///< with its unit
  bool log_x = false;
  bool log_y = false;
  int width = 720;
  int height = 400;
};

/// Draws the lines with axes, grid and their names at the right, in the colours of the report; light or dark as the reader prefers.
/// Points that are not finite (or beyond 1e100), or not positive on a logarithmic axis, are left out.
/// Cost     O(points), in time and in bytes
/// Errors   InvalidArgument if there are more than 15 series or the size is not within [240, 4000]
[[nodiscard]] std::string line_chart_svg(std::span<const SvgSeries> series, const SvgOptions& options);

/// Round values for the marks of an axis from `low` to `high`: about `count` of 1, 2 or 5 times a power of ten; on a logarithmic axis powers
/// of ten, and between them 2 and 5 where there is room.
[[nodiscard]] std::vector<double> axis_marks(double low, double high, bool is_log, int count);

}  // namespace everlong::report
