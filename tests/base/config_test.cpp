#include "everlong/base/config.h"

#include <array>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "tests/support/message.h"

namespace everlong {
namespace {

using testing::message_of;

enum class Color { red, green };
constexpr std::array<std::pair<std::string_view, Color>, 2> kColors{{{"red", Color::red}, {"green", Color::green}}};

struct Sample {
  bool flag = false;
  int64_t count = 3;
  double rate = 0.5;
  std::string name = "x";
  std::vector<std::string> files;
  std::optional<int64_t> limit;
  Color color = Color::red;

  Fields fields() {
    Fields all;
    all.add("flag", flag, "a flag").add("count", count, "a count", {.min = 1}).add("rate", rate, "a rate", {.min = 0, .max = 1});
    all.add("name", name, "a name").add("files", files, "files").add("limit", limit, "a limit", {.min = 1});
    all.add("color", color, "a colour", std::span<const std::pair<std::string_view, Color>>(kColors));
    return all;
  }
};

TEST(Config, EveryKindOfFieldTakesWhatAPersonTypes) {
  Sample sample;
  const auto fields = sample.fields();
  for (const auto& [key, text] : std::vector<std::pair<std::string, std::string>>{
           {"flag", "true"}, {"count", "1e3"}, {"rate", "0.25"}, {"name", "abc"}, {"files", "[a, \"b c\"]"}, {"limit", "7"}, {"color", "green"}}) {
    fields.set(key, value_from_text(text));
  }
  EXPECT_TRUE(sample.flag);
  EXPECT_EQ(sample.count, 1000);
  EXPECT_EQ(sample.rate, 0.25);
  EXPECT_EQ(sample.name, "abc");
  EXPECT_EQ(sample.files, (std::vector<std::string>{"a", "b c"}));
  EXPECT_EQ(sample.limit, 7);
  EXPECT_EQ(sample.color, Color::green);
  fields.set("limit", value_from_text("null"));
  EXPECT_FALSE(sample.limit.has_value());
}

TEST(Config, ARefusedValueChangesNothingAndNamesKeyTypeAndValue) {
  Sample sample;
  const auto fields = sample.fields();
  EXPECT_EQ(message_of<InvalidArgument>([&] { fields.set("count", int64_t{0}); }), "[count] expected integer >= 1, got 0.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { fields.set("rate", 1.5); }), "[rate] expected number in [0, 1], got 1.5.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { fields.set("color", std::string("blue")); }), "[color] expected one of red, green, got blue.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { fields.set("count", std::string("many")); }), "[count] expected integer >= 1, got many.");
  EXPECT_EQ(sample.count, 3);
  EXPECT_EQ(sample.rate, 0.5);
}

TEST(Config, AnUnknownKeyIsAnsweredWithTheNearestOne) {
  Sample sample;
  EXPECT_EQ(message_of<InvalidArgument>([&] { sample.fields().set("coutn", int64_t{2}); }),
            "[config] expected a known key, got coutn. Hint: did you mean count?");
}

TEST(Config, ASectionKeepsItsPrefixInKeysAndMessages) {
  Sample sample;
  Fields outer;
  outer.section("inner", sample.fields());
  outer.set("inner.count", int64_t{5});
  EXPECT_EQ(sample.count, 5);
  EXPECT_EQ(message_of<InvalidArgument>([&] { outer.set("inner.count", int64_t{-5}); }), "[inner.count] expected integer >= 1, got -5.");
}

TEST(Config, CanonicalTextChangesWithAnyField) {
  Sample a, b;
  EXPECT_EQ(a.fields().canonical_text(), b.fields().canonical_text());
  b.rate = 0.75;
  EXPECT_NE(a.fields().canonical_text(), b.fields().canonical_text());
}

}  // namespace
}  // namespace everlong
