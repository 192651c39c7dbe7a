#include "everlong/report/markup.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "tests/report/markup_check.h"

namespace everlong::report {
namespace {

TEST(EscapeHtml, LeavesNothingThatBeginsATagOrEndsAnAttribute) {
  EXPECT_EQ(escape_html("<script a='1' b=\"2\">&amp;"), "&lt;script a=&#39;1&#39; b=&quot;2&quot;&gt;&amp;amp;");
}

TEST(CleanUtf8, ReplacesWhatIsNotUtf8AndKeepsWhatIs) {
  EXPECT_EQ(clean_utf8("a\xFF"
                       "b"),
            "a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(clean_utf8("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x8C\x8A"), "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x8C\x8A");
  for (const std::string bad : {"\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\xF0\x9F\x8C", "\x80"})
    EXPECT_EQ(clean_utf8(bad).substr(0, 3), "\xEF\xBF\xBD") << bad;
  EXPECT_EQ(clean_utf8(std::string("\0\x1b\n", 3)), "\xEF\xBF\xBD\xEF\xBF\xBD\n");
}

TEST(JsonString, ReadsBackAsTheSameTextAndHoldsNoMarkup) {
  for (const std::string text : {"</script><!--", "a\"\\b\n\t", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x8C\x8A", "\xE2\x80\xA8&"}) {
    const std::string json = json_string(text);
    EXPECT_EQ(json.find_first_of("<>&"), std::string::npos) << json;
    EXPECT_EQ(nlohmann::json::parse(json).get<std::string>(), text);
  }
}

TEST(JsonNumber, IsNullWhereJsonHasNoNumber) {
  EXPECT_EQ(json_number(2.34567891), "2.3457");
  EXPECT_EQ(json_number(std::numeric_limits<double>::quiet_NaN()), "null");
  EXPECT_EQ(json_number(-std::numeric_limits<double>::infinity()), "null");
}

TEST(Shorten, NeverCutsACharacterInTwo) {
  EXPECT_EQ(shorten("abc", 3), "abc");
  EXPECT_EQ(shorten("ab\xE2\x82\xAC", 3), "ab \xE2\x80\xA6");
  EXPECT_EQ(shorten("abcdef", 0), " \xE2\x80\xA6");
}

TEST(ShortCount, CountsInThousandsAndMillions) {
  EXPECT_EQ(short_count(950), "950");
  EXPECT_EQ(short_count(9800), "9.8\xC2\xA0k");
  EXPECT_EQ(short_count(999'999), "1\xC2\xA0M");
  EXPECT_EQ(short_count(1.25e6), "1.25\xC2\xA0M");
  EXPECT_EQ(short_count(std::numeric_limits<double>::quiet_NaN()), "\xE2\x80\x93");
}

TEST(MarkupCheck, RefusesWhatABrowserWouldHaveToRepair) {
  using everlong::testing::read_markup;
  for (const char* bad : {"<p><b></p></b>", "<p>", "</p>", "<p a=1></p>", "<p>a & b</p>", "<p id=\"x\"></p><p id=\"x\"></p>", "<p>1 < 2</p>",
                          "<script>var a = '<!--'</script>", "<p a=\"1\" a=\"2\"></p>"})
    EXPECT_THROW((void)read_markup(bad), std::runtime_error) << bad;
  EXPECT_EQ(read_markup("<!DOCTYPE html><p a=\"b\">x &lt; y</p><meta c=\"d\"><script>a < b</script>").size(), 3u);
}

}  // namespace
}  // namespace everlong::report
