#include "everlong/io/jsonl.h"

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "tests/io/support.h"
#include "tests/support/files.h"

namespace everlong::io {
namespace {

using Documents = std::vector<std::string>;

Documents documents_of(std::string_view text, JsonlOptions options = {}) {
  JsonlReader reader(bytes_in_memory(text), "f", std::move(options));
  Documents documents;
  while (const auto document = reader.next()) documents.emplace_back(*document);
  return documents;
}

TEST(Jsonl, EachLineGivesItsText) {
  EXPECT_EQ(documents_of("{\"text\": \"a\\n\\u00e9\"}\n\n  \n{\"id\": 1, \"content\": \"b\", \"meta\": {\"text\": \"no\"}}\r\n{\"text\": \"\"}"),
            (Documents{"a\né", "b", ""}));
}

TEST(Jsonl, TheFirstKeyOfTheListThatIsThereWins) {
  EXPECT_EQ(documents_of(R"({"content": "b", "text": "a"})"), (Documents{"a"}));
  EXPECT_EQ(documents_of(R"({"content": "b", "text": "a"})", {.text_keys = {"content"}}), (Documents{"b"}));
}

TEST(Jsonl, AByteOrderMarkIsSkippedOnTheFirstLineOnly) {
  EXPECT_EQ(documents_of("\xEF\xBB\xBF{\"text\": \"a\"}"), (Documents{"a"}));
  EXPECT_TRUE(message_of<FormatError>([] {
                (void)documents_of("{\"text\": \"a\"}\n\xEF\xBB\xBF{\"text\": \"a\"}");
              }).starts_with("[f at 2] expected valid JSON"));
}

TEST(Jsonl, EveryLieIsRefusedWithItsLine) {
  const std::vector<std::pair<std::string, std::string>> lies{
      {"[1]", "[f at 2] expected a JSON object, got [1]."},
      {"\"text\"", "[f at 2] expected a JSON object, got \"text\"."},
      {R"({"id": 1})", "[f at 2] expected one of the keys text, content, got none."},
      {R"({"text": 1})", "[f at 2, text] expected text, got 1."},
      {R"({"text": null, "content": "x"})", "[f at 2, text] expected text, got null."},
      {R"({"text": "a", "text": "b"})", "[f at 2, text] expected each key once, got a duplicate."},
      {"{\"text\": \"\xff\"}", "[f at 2] expected valid UTF-8, got other bytes."},
      {"{\"text\": \"a\"", ""},
      {"{\"text\": \"a\"} x", ""},
      {"{\"text\": \"a\"}{}", ""},
      {"{\"text\": \"\\ud800\"}", ""},
      {"{\"text\": \"\\x\"}", ""},
      {"{\"text\": NaN}", ""},
      {"{'text': 'a'}", ""},
      {"{\"text\": \"a\", \"deep\": " + std::string(100'000, '[') + std::string(100'000, ']') + "}", ""},
  };
  for (const auto& [line, message] : lies) {
    const std::string text = "{\"text\": \"fine\"}\n" + line + "\n";
    const std::string got = message_of<FormatError>([&] { (void)documents_of(text); });
    if (message.empty())
      EXPECT_TRUE(got.starts_with("[f at 2] expected valid JSON, got ")) << line.substr(0, 50) << ": " << got;
    else
      EXPECT_EQ(got, message);
  }
}

TEST(Jsonl, TheLineOfADocumentIsKnown) {
  JsonlReader reader(bytes_in_memory("\n{\"text\": \"a\"}\n\n{\"text\": \"b\"}"), "f");
  ASSERT_TRUE(reader.next().has_value());
  EXPECT_EQ(reader.line_number(), 2);
  ASSERT_TRUE(reader.next().has_value());
  EXPECT_EQ(reader.line_number(), 4);
}

TEST(Jsonl, NoKeysAtAllAreRefused) {
  EXPECT_EQ(message_of<InvalidArgument>([] { (void)documents_of("", {.text_keys = {}}); }), "[jsonl] expected at least one key that holds the text.");
}

TEST(Jsonl, AFileIsReadByItsName) {
  const testing::TemporaryFolder folder;
  testing::write_text(folder / "a.jsonl", "{\"text\": \"a\"}\n");
  JsonlReader reader(folder / "a.jsonl");
  EXPECT_EQ(reader.next(), "a");
  EXPECT_FALSE(reader.next().has_value());
}

}  // namespace
}  // namespace everlong::io
