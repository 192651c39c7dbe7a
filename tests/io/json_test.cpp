#include "everlong/io/json.h"

#include <limits>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <nlohmann/json.hpp>

#include "everlong/base/config.h"
#include "everlong/base/error.h"
#include "tests/io/support.h"
#include "tests/support/files.h"

namespace everlong::io {
namespace {

using testing::TemporaryFolder;

std::string refusal(std::string_view text, const JsonLimits& limits = {}) {
  return message_of<FormatError>([&] { (void)parse_json(text, "f", limits); });
}

TEST(Json, ReadsEveryKindOfValue) {
  const Json value = parse_json(R"( {"a": [1, -2, 2.5, 1e3, true, null, "\u00e9\ud83d\ude00"], "b": {"": 18446744073709551615}} )", "f");
  EXPECT_EQ(value["a"].dump(), "[1,-2,2.5,1000.0,true,null,\"é😀\"]");
  EXPECT_EQ(value["b"][""].get<uint64_t>(), std::numeric_limits<uint64_t>::max());
}

TEST(Json, EveryLieIsRefusedWithItsPlace) {
  const std::vector<std::pair<std::string, std::string>> lies{
      {"", "[f at 0] expected valid JSON, got unexpected end of input; expected '[', '{', or a literal."},
      {"{", "[f at 1] expected valid JSON, got unexpected end of input; expected string literal."},
      {R"({"a": 1} x)", "[f at 9] expected valid JSON, got invalid literal; last read: '1} x'; expected end of input."},
      {R"({"a": 1}{})", "[f at 8] expected valid JSON, got unexpected '{'; expected end of input."},
      {R"({"a": {"b": 1, "b": 2}})", "[f at 15, a.b] expected each key once, got a duplicate."},
      {R"({"a": {"\"b": 1, "\"b": 2}})", "[f at 17, a.\"b] expected each key once, got a duplicate."},
      {R"({"a": 1, "\u0061": 2})", "[f at 9, a] expected each key once, got a duplicate."},
      {R"({"a": NaN})", "[f at 6, a] expected valid JSON, got invalid literal; last read: '\"a\": N'."},
      {R"([1, Infinity])", "[f at 4, [1]] expected valid JSON, got invalid literal; last read: '1, I'."},
      {R"([1e999])", "[f at 5, [0]] expected valid JSON, got number overflow parsing '1e999'."},
      {"[1,]", "[f at 3, [1]] expected valid JSON, got unexpected ']'; expected '[', '{', or a literal."},
      {"[1] // c", "[f at 4] expected valid JSON, got invalid literal; last read: '1] /'; expected end of input."},
      {R"(["\ud800"])", ""},
      {"[\"\xff\"]", "[f at 2, [0]] expected valid JSON, got invalid string: ill-formed UTF-8 byte; last read: '\"\\xFF'."},
      {"[\"\xed\xa0\x80\"]", ""},
      {"[\"\xc0\x80\"]", ""},
      {"[\"a\nb\"]", ""},
      {"{\"a\": 1, 2: 3}", "[f at 9, a] expected valid JSON, got unexpected number literal; expected string literal."},
      {"'a'", ""},
      {"[01]", ""},
      {"[1 2]", ""},
  };
  for (const auto& [text, message] : lies) {
    const std::string got = refusal(text);
    EXPECT_TRUE(got.starts_with("[f at ")) << text << ": " << got;
    if (!message.empty()) {
      EXPECT_EQ(got, message) << text;
    }
  }
}

TEST(Json, NestingEndsAtTheLimit) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_NO_THROW((void)parse_json(nested(200), "f"));
  EXPECT_NE(refusal(nested(201)).find("expected nesting of at most 200, got deeper."), std::string::npos);
  EXPECT_NE(refusal(std::string(1'000'000, '[')).find("expected nesting of at most 200"), std::string::npos);
  EXPECT_EQ(refusal(R"({"a": {"b": {}}})", {.max_depth = 2}), "[f at 12, a.b] expected nesting of at most 2, got deeper.");
}

TEST(Json, ATextBeyondTheLimitIsRefused) { EXPECT_EQ(refusal("[1, 2]", {.max_bytes = 5}), "[f] expected at most 5 bytes, got 6."); }

TEST(Json, EveryPrefixOfAnObjectIsRefused) {
  const std::string text = R"({"a": [1, {"b\"": "\u00e9x"}], "c": -1.5e3, "d": null})";
  for (size_t size = 0; size < text.size(); ++size) EXPECT_TRUE(refusal(text.substr(0, size)).starts_with("[f at ")) << size;
}

RC_GTEST_PROP(Json, WhatIsWrittenIsReadBack, (const std::map<std::string, std::vector<int64_t>>& lists, double number)) {
  Json value = Json::object();
  for (const auto& [key, list] : lists) value[std::to_string(std::hash<std::string>{}(key))] = list;
  value["number"] = number;
  RC_ASSERT(parse_json(value.dump(), "f") == value);
}

RC_GTEST_PROP(Json, AnyBytesGiveAValueOrAFormatError, (const std::string& text)) {
  try {
    (void)parse_json(text, "f");
  } catch (const FormatError&) {
  }
}

TEST(Json, AFileIsWrittenInTheOrderOfInsertionAndReadBack) {
  const TemporaryFolder folder;
  OrderedJson value;
  value["z"] = 1;
  value["a"] = {1, 2};
  write_json(folder / "a.json", value);
  EXPECT_EQ(testing::read_text(folder / "a.json"), "{\n  \"z\": 1,\n  \"a\": [\n    1,\n    2\n  ]\n}\n");
  EXPECT_EQ(read_json_file(folder / "a.json").dump(), R"({"a":[1,2],"z":1})");
  EXPECT_EQ(message_of<InvalidArgument>([&] { write_json(folder / "b.json", Json("\xff")); }, folder.path()),
            "[/b.json] expected UTF-8 in every text.");
  EXPECT_FALSE(std::filesystem::exists(folder / "b.json"));
}

struct Sample {
  int64_t count = 3;
  double rate = 0.5;
  std::vector<std::string> files{"x"};
  std::optional<int64_t> limit;
  std::string name = "n";

  Fields fields() {
    Fields inner, all;
    inner.add("rate", rate, "a rate", {.min = 0, .max = 1}).add("limit", limit, "a limit");
    all.add("count", count, "a count", {.min = 1}).section("optim", std::move(inner));
    all.add("files", files, "files").add("name", name, "a name");
    return all;
  }
};

std::vector<std::string> apply_to(Sample& sample, std::string_view text) { return apply_json(sample.fields(), parse_json(text, "f"), "f"); }

TEST(JsonConfig, SetsNestedAndDottedKeysAndReturnsTheUnknownOnes) {
  Sample sample;
  const auto unknown =
      apply_to(sample, R"({"count": 5, "optim": {"rate": 1, "extra": 1}, "optim.limit": 7, "files": ["a", 1, true], "odd": {"x": 1}, "name": "q"})");
  EXPECT_EQ(unknown, (std::vector<std::string>{"odd", "optim.extra"}));
  EXPECT_EQ(sample.count, 5);
  EXPECT_EQ(sample.rate, 1.0);
  EXPECT_EQ(sample.limit, 7);
  EXPECT_EQ(sample.files, (std::vector<std::string>{"a", "1", "true"}));
  EXPECT_EQ(sample.name, "q");
  (void)apply_to(sample, R"({"optim": {"limit": null}})");
  EXPECT_FALSE(sample.limit.has_value());
}

TEST(JsonConfig, AValueThatDoesNotFitNamesFileKeyTypeAndValue) {
  Sample sample;
  const auto refusal_of = [&](std::string_view text) { return message_of<InvalidArgument>([&] { (void)apply_to(sample, text); }); };
  EXPECT_EQ(refusal_of(R"({"count": 0})"), "[f, count] expected integer >= 1, got 0.");
  EXPECT_EQ(refusal_of(R"({"optim": {"rate": "much"}})"), "[f, optim.rate] expected number in [0, 1], got \"much\".");
  EXPECT_EQ(refusal_of(R"({"files": [[1]]})"), "[f, files] expected list of texts, got [[1]].");
  EXPECT_EQ(refusal_of(R"({"count": {"a": 1}})"), "[f, count] expected integer >= 1, got {\"a\":1}.");
  EXPECT_EQ(refusal_of(R"({"count": 18446744073709551615})"), "[f, count] expected integer >= 1, got 18446744073709551615.");
  EXPECT_EQ(message_of<FormatError>([&] { (void)apply_to(sample, "[1]"); }), "[f] expected a JSON object, got array.");
}

TEST(JsonConfig, FieldsAreWrittenFlatOrNestedAndReadBackEqual) {
  Sample sample{.count = 9, .rate = 0.1, .files = {"p", "q"}, .limit = 4, .name = "é"};
  EXPECT_EQ(to_json(sample.fields()).dump(), R"({"count":9,"optim.rate":0.1,"optim.limit":4,"files":["p","q"],"name":"é"})");
  EXPECT_EQ(to_json(sample.fields(), KeyStyle::nested).dump(), R"({"count":9,"optim":{"rate":0.1,"limit":4},"files":["p","q"],"name":"é"})");
  for (const auto style : {KeyStyle::flat, KeyStyle::nested}) {
    Sample again;
    EXPECT_TRUE(apply_to(again, to_json(sample.fields(), style).dump()).empty());
    EXPECT_EQ(again.fields().canonical_text(), sample.fields().canonical_text());
  }
}

TEST(JsonConfig, AKeyThatIsValueAndSectionCannotBeNested) {
  int64_t a = 1, b = 2;
  Fields fields;
  fields.add("a", a, "").add("a.b", b, "");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)to_json(fields, KeyStyle::nested); }), "[a.b] expected a section, got a value.");
  EXPECT_EQ(to_json(fields).dump(), R"({"a":1,"a.b":2})");
}

}  // namespace
}  // namespace everlong::io
