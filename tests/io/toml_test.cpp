#include "everlong/io/toml.h"

#include <array>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "everlong/base/error.h"
#include "tests/io/support.h"
#include "tests/support/files.h"

namespace everlong::io {
namespace {

struct Sample {
  int64_t steps = 3;
  double lr = 0.5;
  bool amp = false;
  std::vector<std::string> files;
  std::optional<int64_t> limit;
  std::string name = "n";
  double deep = 1;

  Fields fields() {
    Fields optim, inner, all;
    inner.add("deep", deep, "how deep");
    optim.add("lr", lr, "learning rate", {.min = 0, .max = 1}).add("limit", limit, "a limit", {.min = 1}).section("inner", std::move(inner));
    all.section("optim", std::move(optim)).add("steps", steps, "number of steps", {.min = 1}).add("amp", amp, "mixed precision");
    all.add("data.files", files, "corpora").add("name", name, "a name,\nof anything");
    return all;
  }
};

std::vector<TomlEntry> apply_to(Sample& sample, std::string_view text, std::span<const std::string_view> open = {}) {
  return apply_toml(sample.fields(), text, "run.toml", open);
}

TEST(Toml, SectionsAndDottedKeysSetTheSameFields) {
  Sample sample;
  const auto rest = apply_to(sample, R"(
steps = 1_000          # a comment
name = 'C:\x'
data = { files = ["a", "b c", 3] }
[optim]
lr = 1e-3
inner.deep = 2
limit = 7
)");
  EXPECT_TRUE(rest.empty());
  EXPECT_EQ(sample.steps, 1000);
  EXPECT_EQ(sample.lr, 1e-3);
  EXPECT_EQ(sample.deep, 2);
  EXPECT_EQ(sample.limit, 7);
  EXPECT_EQ(sample.name, "C:\\x");
  EXPECT_EQ(sample.files, (std::vector<std::string>{"a", "b c", "3"}));
}

TEST(Toml, EntriesComeInTheOrderOfTheFileWithTheirPlace) {
  const auto entries = parse_toml("z = 1\n[b]\n  a = true\n", "f");
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].key, "z");
  EXPECT_EQ(entries[1].key, "b.a");
  EXPECT_EQ(entries[1].line, 3);
  EXPECT_EQ(entries[1].column, 3);
}

TEST(Toml, NoneMeansNullWhereAFieldTakesNoText) {
  Sample sample{.limit = 4};
  (void)apply_to(sample, "name = \"none\"\noptim.limit = \"none\"");
  EXPECT_FALSE(sample.limit.has_value());
  EXPECT_EQ(sample.name, "none");
}

TEST(Toml, EveryLieIsRefusedWithLineAndColumn) {
  const std::vector<std::pair<std::string, std::string>> lies{
      {"a = 1\na = 2\n", "[f at 2, column 5] expected valid TOML, got Error while parsing key-value pair: cannot redefine existing integer 'a'."},
      {"a = ", "[f at 1, column 5] expected valid TOML, got Error while parsing key-value pair: encountered end-of-file."},
      {"a = 1 2", "[f at 1, column 7] expected valid TOML, got Error while parsing key-value pair: expected a comment or whitespace, saw '2'."},
      {"[a]\n[a]\n", "[f at 2, column 1] expected valid TOML, got Error while parsing table header: cannot redefine existing table 'a'."},
      {"a = 1\n [[[b]]]", "[f at 2, column 4] expected valid TOML, got a key that begins with a character no key begins with."},
      {"[[=", "[f at 1, column 3] expected valid TOML, got a key that begins with a character no key begins with."},
      {"a = é", "[f at 1, column 5] expected valid TOML, got Error while parsing value: could not determine value type."},
      {"a = \u03e1"
       "00",
       ""},
      {"a = 9223372036854775808", ""},
      {"a = \"x", ""},
      {"a = \"\xff\"", ""},
      {"a = 'b\n'", ""},
      {"= 1", ""},
      {"a = [1, 2", ""},
      {"a = nan5", ""},
      {"a = 01", ""},
      {"a = 1\n\"a\" = 2", ""},
      {"a.b = 1\na = 2", ""},
      {"d = 1979-05-27", "[f at 1, column 5] expected text, a number, true, false or a list of these for d, got a date or time."},
      {"l = [1, [2]]", "[f at 1, column 9] expected text, a number, true, false or a list of these for l, got a list."},
      {"l = [{a = 1}]", "[f at 1, column 6] expected text, a number, true, false or a list of these for l, got a table."},
      {"[[t]]\na = 1", "[f at 1, column 1] expected text, a number, true, false or a list of these for t, got a table."},
      {"\"a.b\" = 1\n[a]\nb = 2", "[f at 3, column 1] expected each key once, got a.b twice."},
  };
  for (const auto& [text, message] : lies) {
    const std::string got = message_of<FormatError>([&, &document = text] { (void)parse_toml(document, "f"); });
    EXPECT_TRUE(got.starts_with("[f at ")) << text << ": " << got;
    if (!message.empty()) {
      EXPECT_EQ(got, message) << text;
    }
  }
}

TEST(Toml, NestingIsBoundedHoweverItIsWritten) {
  const auto refusal = [](const std::string& text) { return message_of<FormatError>([&] { (void)parse_toml(text, "f"); }); };
  std::string parts = "a";
  for (int i = 1; i < 16; ++i) parts += ".a";
  EXPECT_NO_THROW((void)parse_toml(parts + " = 1", "f"));
  EXPECT_EQ(refusal("\n" + parts + ".a = 1"), "[f at 2, column 32] expected a key of at most 16 parts, got more.");
  EXPECT_EQ(refusal("[" + parts + ".a]"), "[f at 1, column 33] expected a key of at most 16 parts, got more.");
  EXPECT_EQ(refusal("x = {" + parts + " = 1, " + parts + ".a = 1}"), "[f at 1, column 74] expected a key of at most 16 parts, got more.");
  std::string quoted = "\"a\"";
  for (int i = 1; i < 1'000'000; ++i) quoted += ".'a'";
  EXPECT_NE(refusal(quoted + " = 1").find("at most 16 parts"), std::string::npos);
  EXPECT_TRUE(refusal("a = " + std::string(100'000, '[')).starts_with("[f at 1, column "));
  std::string tables = "a = ";
  for (int i = 0; i < 1000; ++i) tables += "{a = ";
  EXPECT_TRUE(refusal(tables).starts_with("[f at 1, column "));
  EXPECT_EQ(refusal(std::string(kMaxTomlBytes + 1, '\n')), "[f] expected at most 4194304 bytes, got 4194305.");
}

TEST(Toml, DotsInTextsNumbersAndCommentsAreNoKeyParts) {
  const std::string dots(40, '.');
  const std::string text = "a = \"" + dots + "\\\"" + dots + "\" # " + dots + "\nb = '''" + dots + "\n''" + dots + "'''\nc = \"\"\"" + dots + "\n" +
                           dots + "\"\"\"\nd = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8]\n";
  EXPECT_EQ(parse_toml(text, "f").size(), 4U);
}

TEST(Toml, LettersBeyondAsciiMayFollowALineEndInAText) {
  const auto entries = parse_toml("a = \"\"\"\\\n  été\"\"\" # ϡ\n", "f");
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(std::get<std::string>(entries[0].value), "été");
}

TEST(Toml, AnUnknownKeyIsAnsweredWithTheNearestOne) {
  Sample sample;
  const auto refusal = [&](std::string_view text) { return message_of<InvalidArgument>([&] { (void)apply_to(sample, text); }); };
  EXPECT_EQ(refusal("steps = 5\n[optim]\nrl = 1"), "[run.toml at 3, optim.rl] expected a known key. Hint: did you mean optim.lr?");
  EXPECT_EQ(refusal("[zzzzzzzzzzzzzzz]\nqqqqqqqqqqqqqq = 1"), "[run.toml at 2, zzzzzzzzzzzzzzz.qqqqqqqqqqqqqq] expected a known key.");
}

TEST(Toml, AnOpenSectionKeepsItsUnknownKeys) {
  Sample sample;
  const std::array<std::string_view, 1> open{"model"};
  const auto rest = apply_to(sample, "steps = 4\n[model]\nwidth = 8\n[model.inner]\nx = 'y'", open);
  ASSERT_EQ(rest.size(), 2U);
  EXPECT_EQ(rest[0].key, "model.width");
  EXPECT_EQ(rest[1].key, "model.inner.x");
  EXPECT_EQ(sample.steps, 4);
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)apply_to(sample, "models.x = 1", open); }), "[run.toml at 1, models.x] expected a known key.");
}

TEST(Toml, AValueThatDoesNotFitNamesFileLineKeyTypeAndValue) {
  Sample sample;
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)apply_to(sample, "[optim]\nlr = 1.5"); }),
            "[run.toml at 2, optim.lr] expected number in [0, 1], got 1.5.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)apply_to(sample, "optim.lr = nan"); }),
            "[run.toml at 1, optim.lr] expected number in [0, 1], got nan.");
}

TEST(Toml, FieldsAreWrittenWithTheirSentenceAboveThem) {
  Sample sample{.lr = 1, .files = {"a\"b", "c"}, .name = "x\ny\\"};
  EXPECT_EQ(to_toml(sample.fields()), R"(# number of steps (integer >= 1)
steps = 3
# mixed precision (true or false)
amp = false
# a name,
# of anything (text)
name = "x\u000Ay\\"

[optim]
# learning rate (number in [0, 1])
lr = 1.0
# a limit (integer >= 1 or null)
limit = "none"

[optim.inner]
# how deep (number)
deep = 1.0

[data]
# corpora (list of texts)
files = ["a\"b", "c"]
)");
}

TEST(Toml, AFileIsReadAndAMissingOneIsAnIoError) {
  const testing::TemporaryFolder folder;
  testing::write_text(folder / "a.toml", "steps = 8");
  Sample sample;
  EXPECT_TRUE(apply_toml_file(sample.fields(), folder / "a.toml").empty());
  EXPECT_EQ(sample.steps, 8);
  EXPECT_EQ(message_of<IoError>([&] { (void)apply_toml_file(sample.fields(), folder / "b.toml"); }, folder.path()),
            "[/b.toml] cannot open: No such file or directory.");
}

RC_GTEST_PROP(Toml, WhatIsWrittenIsReadBack, (const std::string& name, const std::vector<std::string>& files, int64_t steps, double lr)) {
  const auto ascii = [](std::string text) {
    for (char& letter : text) letter = static_cast<char>(letter & 0x7F);
    return text;
  };
  Sample sample{.steps = 1 + (steps & 0xFFFFFFFFFF), .lr = std::abs(std::remainder(lr, 1.0)), .name = ascii(name), .deep = lr};
  for (const auto& file : files) sample.files.push_back(ascii(file));
  Sample again;
  RC_ASSERT(apply_to(again, to_toml(sample.fields())).empty());
  RC_ASSERT(again.fields().canonical_text() == sample.fields().canonical_text());
}

RC_GTEST_PROP(Toml, AnyTextGivesEntriesOrAFormatError, ()) {
  const auto text = *rc::gen::container<std::string>(rc::gen::elementOf(std::string("ab.=[]{}\"'\n#,\\1 \xff")));
  try {
    (void)parse_toml(text, "f");
  } catch (const FormatError&) {
  }
}

}  // namespace
}  // namespace everlong::io
