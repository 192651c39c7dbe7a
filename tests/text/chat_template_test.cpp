#include "everlong/text/chat_template.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "tests/support/files.h"
#include "tests/support/message.h"

namespace everlong::text {
namespace {

const std::vector<ChatMessage> kTalk = {{"system", "S"}, {"user", "U"}, {"assistant", "A"}};

std::string rendered(std::string_view source, const std::vector<ChatMessage>& messages = kTalk, bool prompt = false) {
  return ChatTemplate(source, "t.jinja").render(messages, {.bos_token = "<s>", .eos_token = "</s>", .add_generation_prompt = prompt});
}

TEST(ChatTemplate, RendersAsJinjaDoes) {
  const auto table = nlohmann::json::parse(testing::read_text(testing::source_path("tests/data/text/chat.json")));
  ASSERT_GE(table.size(), 60u);
  int refused = 0;
  for (const auto& row : table) {
    SCOPED_TRACE(row["template"].get<std::string>() + ", " + row["messages"].dump());
    std::vector<ChatMessage> messages;
    for (const auto& message : row["messages"]) messages.push_back({message["role"], message["content"]});
    const auto render = [&] { return rendered(row["source"].get<std::string>(), messages, row["add_generation_prompt"]); };
    if (row.contains("refused")) {
      const std::string said = testing::message_of<InvalidArgument>(render);
      EXPECT_NE(said.find(row["refused"].get<std::string>()), std::string::npos) << said;
      ++refused;
    } else {
      EXPECT_EQ(render(), row["text"].get<std::string>());
    }
  }
  EXPECT_GE(refused, 2);
}

TEST(ChatTemplate, TheDefaultNamesWhoSpeaksAndEndsAnswers) {
  EXPECT_EQ(rendered(default_chat_template()), "S\nUser: U\nAssistant: A</s>\n");
  EXPECT_EQ(rendered(default_chat_template(), {{"user", "U"}}, true), "User: U\nAssistant:");
}

TEST(ChatTemplate, SurvivesBeingMoved) {
  ChatTemplate first("{{ messages.strip() }}", "n");  // a name short enough to lie inside its string
  const ChatTemplate second = std::move(first);
  EXPECT_EQ(testing::message_of<InvalidArgument>([&] { (void)second.render(kTalk, {}); }),
            "[n:1] expected values that go with the operation, got white space cut off a list.");
}

/// A template is refused with an error of this type, whose message holds every part.
template <class Error>
void expect_refusal(std::string_view source, std::initializer_list<std::string_view> parts) {
  const std::string said = testing::message_of<Error>([&] { (void)rendered(source); });
  for (const std::string_view part : parts) EXPECT_NE(said.find(part), std::string::npos) << said;
}

TEST(ChatTemplate, WhatIsOutsideTheSubsetIsNamedWithItsLine) {
  const auto expect = [](std::string_view source, std::string_view where, std::string_view construct) { expect_refusal<Unsupported>(source, {where, construct}); };
  expect("\n\n{% macro f(x) %}{% endmacro %}", "[t.jinja:3]", "the statement 'macro'");
  expect("{{ messages | tojson }}", "[t.jinja:1]", "the filter 'tojson'");
  expect("x\n{{ strftime_now('%d') }}", "[t.jinja:2]", "the call strftime_now()");
  expect("{% set ns = namespace(a=1) %}", "[t.jinja:1]", "the call namespace()");
  expect("{{ 'a'.upper() }}", "[t.jinja:1]", "the method .upper()");
  expect("{{ messages[::-1] }}", "[t.jinja:1]", "slices other than [n:]");
  expect("{{ messages[1:2] }}", "[t.jinja:1]", "slices other than [n:]");
  expect("{{ 2 * 3 }}", "[t.jinja:1]", "the operator *");
  expect("{{ [1] }}", "[t.jinja:1]", "lists and objects written out");
  expect("{{ 1.5 }}", "[t.jinja:1]", "numbers with a point");
  expect("{{ messages is mapping }}", "[t.jinja:1]", "the test 'is mapping'");
  expect("{% for a, b in messages %}{% endfor %}", "[t.jinja:1]", "a loop with several names");
  expect("{% for a in messages %}{% else %}{% endfor %}", "[t.jinja:1]", "else of a loop");
  expect("{%+ if true %}{% endif %}", "[t.jinja:1]", "+ at the end of a tag");
  expect("{% set a.b = 1 %}", "[t.jinja:1]", "a set without NAME = EXPRESSION");
  expect(std::string(70000, 'x'), "[t.jinja:1]", "more than 64 KiB");
}

TEST(ChatTemplate, WhatIsNoJinjaIsNamedWithItsLine) {
  const auto expect = [](std::string_view source, std::string_view part) { expect_refusal<FormatError>(source, {part}); };
  expect("a\n{{ 'x' ", "expected '}}', got the end of the template");
  expect("{{ 'x }}", "expected '}}', got the end of the template");
  expect("{% if true %}x", "expected 'endif', got the end of the template");
  expect("{% for m in messages %}", "expected 'endfor', got the end of the template");
  expect("{% endif %}", "expected a statement, got 'endif'");
  expect("{{ }}", "expected an expression, got the end of the tag");
  expect("{{ 1 2 }}", "expected the end of the tag, got '2'");
  expect("{{ (1 }}", "expected ')'");
  expect("{% for in messages %}{% endfor %}", "for NAME in EXPRESSION");
  expect("{% if true %}{% else x %}{% endif %}", "the end of the tag after 'else'");
  expect("{{ " + std::string(5000, '(') + " }}", "at most 64 deep");
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "{% if true %}";
  expect(deep, "at most 64 deep");
}

TEST(ChatTemplate, WhatValuesDoNotAllowIsRefused) {
  const auto expect = [](std::string_view source, std::string_view part) { expect_refusal<InvalidArgument>(source, {part}); };
  expect("\n{{ messages }}", "[t.jinja:2] expected values that go with the operation, got a list to print");
  expect("{{ 'a' + 1 }}", "a text + a number");
  expect("{{ 'a' + nothing }}", "a text + something undefined");
  expect("{{ nothing.more }}", "more of something undefined");
  expect("{{ 1 % 0 }}", "a division by zero");
  expect("{{ 9223372036854775807 + 1 }}", "more than 63 bits");
  expect("{% for m in 'abc' %}{% endfor %}", "a loop over something that is no list");
  expect("{{ raise_exception('no ' + 'way') }}", "got no way");
  std::string loops;
  for (int i = 0; i < 12; ++i) loops += "{% for m in messages %}";
  for (int i = 0; i < 12; ++i) loops += "{% endfor %}";
  expect(loops, "more steps than a conversation needs");
  expect(
      "{% set a = 'xxxxxxxxxxxxxxxx' %}{% for m in messages %}{% for n in messages %}{% for o in messages %}{% for p in messages %}"
      "{{ a + a + a }}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{{ raise_exception('end') }}",
      "got end");
}

}  // namespace
}  // namespace everlong::text
