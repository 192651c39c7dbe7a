#include "apps/everlong/output.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"

namespace everlong::app {
namespace {

TEST(Output, BytesAreCountedInPowersOf1024WithThreeDigits) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1024), "1.00 KiB");
  EXPECT_EQ(human_bytes(1536), "1.50 KiB");
  EXPECT_EQ(human_bytes(int64_t{3} << 30), "3.00 GiB");
  EXPECT_EQ(human_bytes(int64_t{150} << 20), "150 MiB");
}

TEST(Output, CountsAreShortened) {
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(950), "950");
  EXPECT_EQ(human_count(12.34), "12.3");
  EXPECT_EQ(human_count(12345), "12.3k");
  EXPECT_EQ(human_count(1.25e6), "1.25M");
  EXPECT_EQ(human_count(7.1e9), "7.10G");
}

TEST(Output, DurationsAreReadAsAPersonSaysThem) {
  EXPECT_EQ(human_duration(0.5), "0.5 s");
  EXPECT_EQ(human_duration(59.4), "59 s");
  EXPECT_EQ(human_duration(59.6), "1 min 00 s");
  EXPECT_EQ(human_duration(185), "3 min 05 s");
  EXPECT_EQ(human_duration(2 * 3600 + 600), "2 h 10 min");
  EXPECT_EQ(human_duration(3 * 86400 + 4 * 3600), "3 d 04 h");
  EXPECT_EQ(human_duration(std::numeric_limits<double>::infinity()), "?");
  EXPECT_EQ(human_duration(-1), "?");
}

TEST(Output, AControlCharacterFromAFileDoesNotReachTheTerminal) {
  EXPECT_EQ(printable("a\x1b[31mb\n"), "a\\x1b[31mb\\x0a");
  EXPECT_EQ(printable("Übung"), "Übung");
}

TEST(Output, ATableAlignsItsColumnsByCodePoints) {
  Table table({{"name"}, {"bytes", Align::right}});
  EXPECT_EQ(table.text(), "");
  table.add_row({"ärger", "1"});
  table.add_row({"x", "12345"});
  EXPECT_EQ(table.text(), "name   bytes\närger      1\nx      12345\n");
  EXPECT_THROW(table.add_row({"too few"}), InvalidArgument);
}

TEST(Output, NoLineOfATableEndsInASpace) {
  Table table({{"name"}, {"note"}});
  table.add_row({"a", ""});
  table.add_row({"b", "long"});
  EXPECT_EQ(table.text(), "name  note\na\nb     long\n");
}

TEST(Output, FactsReadTheSameAsTextAndAsJson) {
  const std::vector<Fact> facts{{"build", "version", std::string("1.0")}, {"machine", "cores", int64_t{2}}, {"machine", "usable", true}};
  EXPECT_EQ(facts_as_text(facts), "build\n  version  1.0\n\nmachine\n  cores    2\n  usable   true\n");
  const auto json = nlohmann::json::parse(facts_as_json(facts));
  EXPECT_EQ(json["build"]["version"], "1.0");
  EXPECT_EQ(json["machine"]["cores"], 2);
  EXPECT_EQ(json["machine"]["usable"], true);
}

TEST(Output, TextThatIsNotUtf8StillMakesValidJson) {
  const auto json = nlohmann::json::parse(facts_as_json({{"a", "b", std::string("\xff\xfe")}}));
  EXPECT_TRUE(json["a"]["b"].is_string());
}

}  // namespace
}  // namespace everlong::app
