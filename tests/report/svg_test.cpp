#include "everlong/report/svg.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "everlong/base/error.h"
#include "tests/report/markup_check.h"

namespace everlong::report {
namespace {

using everlong::testing::Element;
using everlong::testing::read_markup;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

size_t count(const std::string& text, std::string_view what) {
  size_t found = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

TEST(LineChartSvg, DrawsEachSeriesWithItsNameAndUnits) {
  const std::vector<SvgSeries> series = {{"full attention", {{1024, 16}, {1048576, 16384}}}, {"MEGA", {{1024, 4}, {1048576, 4}}}};
  const std::string svg =
      line_chart_svg(series, {.title = "Memory", .x_label = "context (tokens)", .y_label = "memory (MB)", .log_x = true, .log_y = true});
  EXPECT_EQ(read_markup(svg)[0].name, "svg");
  for (const char* text : {"Memory", "context (tokens)", "memory (MB)", ">full attention<", ">MEGA<", "prefers-color-scheme:dark"})
    EXPECT_THAT(svg, HasSubstr(text));
  EXPECT_EQ(count(svg, "<path class=\"s"), 2u);
  EXPECT_EQ(count(svg, "<circle"), 4u);
}

TEST(LineChartSvg, MapsTheEndsOfTheDataToTheEndsOfTheAxis) {
  const std::string svg = line_chart_svg(std::vector<SvgSeries>{{"a", {{0, 0}, {10, 94}}}}, {.width = 720, .height = 400});
  // Left edge 68, bottom 400 - 52; the top has 6 % of room: 94 of 99.64 of the 304 pixels.
  EXPECT_THAT(svg, HasSubstr("d=\"M68.0 348.0L689.0 61.2\""));
}

TEST(LineChartSvg, NeighbouringMarksHaveDifferentLabels) {
  const std::string svg = line_chart_svg(std::vector<SvgSeries>{{"a", {{0, 3.3191}, {10, 3.3333}}}}, {.width = 720, .height = 400});
  EXPECT_THAT(svg, HasSubstr(">3.325<"));
}

TEST(LineChartSvg, EscapesNamesAndLabels) {
  const std::string evil = "</svg><script>\"&";
  const std::string svg = line_chart_svg(std::vector<SvgSeries>{{evil, {{0, 1}, {1, 2}}}}, {.title = evil, .x_label = evil, .y_label = evil});
  for (const Element& element : read_markup(svg)) EXPECT_NE(element.name, "script");
}

TEST(LineChartSvg, LeavesOutWhatHasNoPlaceOnTheAxis) {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<SvgSeries> series = {
      {"a", {{0, 1}, {-5, 1}, {10, infinity}, {10, 0}, {1e300, 5}, {10, 1}, {100, 10}}}, {"none", {{0, 0}}}, {"empty", {}}};
  const std::string svg = line_chart_svg(series, {.log_x = true, .log_y = true});
  EXPECT_NO_THROW((void)read_markup(svg));
  for (const char* bad : {"nan", "inf"}) EXPECT_THAT(svg, Not(HasSubstr(bad)));
  EXPECT_EQ(count(svg, "<circle"), 2u);
}

TEST(LineChartSvg, StandsWithOnePointOrNone) {
  for (const std::vector<SvgSeries>& series : {std::vector<SvgSeries>{}, {{"a", {{3, 3}}}}, {{"a", {{0, 0}}}}}) {
    const std::string svg = line_chart_svg(series, {});
    EXPECT_NO_THROW((void)read_markup(svg));
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
  }
}

TEST(LineChartSvg, RefusesMoreSeriesThanColoursAndSizesNobodyCanRead) {
  EXPECT_THROW((void)line_chart_svg(std::vector<SvgSeries>(16), {}), InvalidArgument);
  EXPECT_THROW((void)line_chart_svg({}, {.width = 10}), InvalidArgument);
  EXPECT_THROW((void)line_chart_svg({}, {.height = 100'000}), InvalidArgument);
}

TEST(AxisMarks, AreRound) {
  EXPECT_THAT(axis_marks(0, 10, false, 5), ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(axis_marks(1024, 1048576, true, 5), ElementsAre(1e4, 1e5, 1e6));
  EXPECT_THAT(axis_marks(1, 10, true, 6), ElementsAre(1, 2, 5, 10));
}

TEST(AxisMarks, AreFewWhateverTheRange) {
  EXPECT_LE(axis_marks(1, std::nextafter(1.0, 2.0), false, 5).size(), 100u);
  EXPECT_LE(axis_marks(-1e100, 1e100, false, 5).size(), 100u);
  EXPECT_LE(axis_marks(1e-100, 1e100, true, 5).size(), 100u);
}

}  // namespace
}  // namespace everlong::report
