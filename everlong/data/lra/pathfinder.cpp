#include "everlong/data/lra/pathfinder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/base/rng.h"

namespace everlong::data {
namespace {

constexpr int kPictureTrials = 2000;
constexpr int kCurveTrials = 60;
constexpr int kDashTrials = 8;
constexpr double kHalfWidth = 0.5;  ///< of a dash, in pixels at size 32

struct Point {
  double x = 0, y = 0;
};

struct Segment {
  Point from, to;
};

using Curve = std::vector<Segment>;

double distance(const Point& point, const Segment& segment) {
  const double dx = segment.to.x - segment.from.x, dy = segment.to.y - segment.from.y;
  const double length_squared = dx * dx + dy * dy;
  double along = length_squared > 0 ? ((point.x - segment.from.x) * dx + (point.y - segment.from.y) * dy) / length_squared : 0;
  along = std::clamp(along, 0.0, 1.0);
  return std::hypot(point.x - segment.from.x - along * dx, point.y - segment.from.y - along * dy);
}

/// Between two segments that do not cross; crossing ones have ends at least as near as their length.
double distance(const Segment& a, const Segment& b) {
  return std::min({distance(a.from, b), distance(a.to, b), distance(b.from, a), distance(b.to, a)});
}

/// Draws curves that keep clear of each other.
class Drawing {
 public:
  Drawing(const PathfinderOptions& options, CounterRng& rng)
      : options_(options), rng_(rng), unit_(static_cast<double>(options.size) / 32), side_(static_cast<double>(options.size)) {}

  /// Adds a curve of so many dashes; false if it finds no room.
  bool add_curve(int64_t dashes) {
    for (int trial = 0; trial < kCurveTrials; ++trial) {
      auto curve = try_curve(dashes);
      if (!curve) continue;
      curves_.push_back(std::move(*curve));
      return true;
    }
    return false;
  }

  [[nodiscard]] const std::vector<Curve>& curves() const { return curves_; }
  [[nodiscard]] double unit() const { return unit_; }

 private:
  double between(double low, double high) { return low + (high - low) * rng_.next_uniform(); }

  std::optional<Curve> try_curve(int64_t dashes) {
    Point at{between(0, side_), between(0, side_)};
    double heading = between(0, 2 * std::numbers::pi);
    Curve curve;
    while (std::cmp_less(curve.size(), dashes)) {
      bool placed = false;
      for (int trial = 0; trial < kDashTrials && !placed; ++trial) {
        const double turned = heading + (curve.empty() ? 0 : between(-options_.max_turn, options_.max_turn));
        const double gap = curve.empty() ? 0 : options_.gap_len * unit_;
        const Point from{at.x + gap * std::cos(turned), at.y + gap * std::sin(turned)};
        const double length = options_.dash_len * unit_;
        const Segment dash{from, {from.x + length * std::cos(turned), from.y + length * std::sin(turned)}};
        if (!has_room(dash, curve)) continue;
        curve.push_back(dash);
        at = dash.to;
        heading = turned;
        placed = true;
      }
      if (!placed) return std::nullopt;
    }
    return curve;
  }

  /// Inside the picture with room for a disc, and clear of all but the dash before it.
  bool has_room(const Segment& dash, const Curve& curve) const {
    const double margin = (options_.radius + 0.5) * unit_, clearance = options_.clearance * unit_;
    for (const Point& end : {dash.from, dash.to}) {
      if (end.x < margin || end.y < margin || end.x > side_ - margin || end.y > side_ - margin) return false;
    }
    const auto is_near = [&](const Segment& other) { return distance(dash, other) < clearance; };
    // A dash two places back is nearer than the clearance even on a straight curve, where dash and gaps are short.
    const double straight = (2 * options_.gap_len + options_.dash_len) * unit_;
    for (size_t i = 0; i + 1 < curve.size(); ++i) {
      const bool second = i + 2 == curve.size();
      if (second ? distance(dash, curve[i]) < std::min(clearance, 0.75 * straight) : is_near(curve[i])) return false;
    }
    return std::none_of(curves_.begin(), curves_.end(), [&](const Curve& other) { return std::any_of(other.begin(), other.end(), is_near); });
  }

  const PathfinderOptions& options_;
  CounterRng& rng_;
  double unit_, side_;
  std::vector<Curve> curves_;
};

/// White where the shapes are, grey at their edges.
std::vector<uint8_t> render(const PathfinderOptions& options, const Drawing& drawing, const std::array<Point, 2>& discs) {
  std::vector<double> cover(static_cast<size_t>(options.size * options.size));
  const double unit = drawing.unit();
  const auto add = [&](const Segment& shape, double reach) {
    const auto bound = [&](double low, double high) {
      const auto last = static_cast<double>(options.size - 1);
      return std::pair(static_cast<int64_t>(std::clamp(std::floor(low - reach - 1), 0.0, last)),
                       static_cast<int64_t>(std::clamp(std::ceil(high + reach + 1), 0.0, last)));
    };
    const auto columns = bound(std::min(shape.from.x, shape.to.x), std::max(shape.from.x, shape.to.x));
    const auto rows = bound(std::min(shape.from.y, shape.to.y), std::max(shape.from.y, shape.to.y));
    for (int64_t y = rows.first; y <= rows.second; ++y) {
      for (int64_t x = columns.first; x <= columns.second; ++x) {
        const double away = distance(Point{static_cast<double>(x) + 0.5, static_cast<double>(y) + 0.5}, shape);
        double& pixel = cover[static_cast<size_t>(y * options.size + x)];
        pixel = std::max(pixel, std::clamp(reach + 0.5 - away, 0.0, 1.0));
      }
    }
  };
  for (const Curve& curve : drawing.curves()) {
    for (const Segment& dash : curve) add(dash, kHalfWidth * unit);
  }
  for (const Point& disc : discs) add({disc, disc}, options.radius * unit);
  std::vector<uint8_t> pixels;
  for (const double share : cover) pixels.push_back(static_cast<uint8_t>(std::lround(255 * share)));
  return pixels;
}

void check(const PathfinderOptions& options, int64_t number) {
  const auto demand = [](bool ok, std::string_view expected, auto got) {
    require(ok, [&] { return Complaint{.where = "pathfinder", .expected = std::string(expected), .got = fmt::format("{}", got)}; });
  };
  demand(number >= 0, "a number >= 0", number);
  demand(options.size >= 16 && options.size <= 1024, "a size from 16 to 1024", options.size);
  demand(options.dashes >= 2 && options.dashes <= 1000, "2 to 1000 dashes", options.dashes);
  demand(options.distractors >= 0 && options.distractors <= 1000, "0 to 1000 distractors", options.distractors);
  demand(options.dash_len > 0 && options.dash_len <= 16, "0 < dash_len <= 16", options.dash_len);
  demand(options.gap_len > 0 && options.gap_len <= 16, "0 < gap_len <= 16", options.gap_len);
  demand(options.max_turn >= 0 && options.max_turn <= 1.5, "0 <= max_turn <= 1.5", options.max_turn);
  demand(options.radius >= 0.5 && options.radius <= 8, "0.5 <= radius <= 8", options.radius);
  const double least = options.gap_len + options.radius + 2 * kHalfWidth;
  demand(options.clearance >= least && options.clearance <= 32, fmt::format("clearance from {} (gap, disc and width) to 32", least),
         options.clearance);
}

}  // namespace

PathfinderImage make_pathfinder(const PathfinderOptions& options, int64_t number) {
  check(options, number);
  constexpr uint64_t kStream = 0x9A7F1D;
  CounterRng rng(options.seed, kStream << 40 | static_cast<uint64_t>(number));
  const bool connected = rng.next_below(2) == 1;
  const int64_t short_dashes = std::max<int64_t>(options.dashes / 3, 2);
  for (int trial = 0; trial < kPictureTrials; ++trial) {
    Drawing drawing(options, rng);
    bool complete = drawing.add_curve(options.dashes) && drawing.add_curve(options.dashes);
    for (int64_t i = 0; complete && i < options.distractors; ++i) complete = drawing.add_curve(short_dashes);
    if (!complete) continue;
    const Curve& first = drawing.curves()[0];
    const Curve& second = drawing.curves()[1];
    const Point other = rng.next_below(2) == 1 ? second.front().from : second.back().to;
    const std::array<Point, 2> discs = {first.front().from, connected ? first.back().to : other};
    return {.pixels = render(options, drawing, discs), .connected = connected};
  }
  throw InvalidArgument({.where = "pathfinder",
                         .expected = fmt::format("room for {} curves of {} dashes within {} trials", 2, options.dashes, kPictureTrials),
                         .got = "none",
                         .hint = "draw fewer or shorter curves, or larger pictures"});
}

}  // namespace everlong::data
