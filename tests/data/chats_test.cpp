#include "everlong/data/chats.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/data/batches.h"
#include "everlong/tensor/torch.h"
#include "tests/support/files.h"
#include "tests/support/message.h"

namespace everlong::data {
namespace {

using testing::TemporaryFolder;
using testing::write_text;
using text::ChatMessage;

constexpr const char* kBrackets =
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endif %}{% endfor %}";

text::ChatFormat plain(std::string_view source = text::default_chat_template()) {
  return {.chat_template = text::ChatTemplate(source, "t.jinja"), .bos_token = "<s>", .eos_token = "</s>"};
}

/// The spellings of the learned tokens, special ones included, each in its own stretch.
std::string learned_text(const EncodedChat& chat, const text::Tokenizer& tokenizer) {
  std::string out;
  for (size_t i = 0; i < chat.tokens.size(); ++i) {
    if (chat.learned[i] == 0) continue;
    if (i > 0 && chat.learned[i - 1] == 0) out += '|';
    const auto bytes = tokenizer.token_bytes(chat.tokens[i]);
    out += bytes.empty() ? "</s>" : std::string(bytes);
  }
  return out;
}

TEST(Chats, AnswersWithTheirEndAreLearnedAndNothingElse) {
  const auto tokenizer = text::make_bytes_tokenizer();
  const std::vector<ChatMessage> talk = {{"system", "S"}, {"user", "hi"}, {"assistant", "yo"}, {"user", "more"}, {"assistant", "no"}, {"user", "oh"}};
  const EncodedChat chat =
      encode_chat(talk, {.chat_template = text::ChatTemplate(text::default_chat_template()), .bos_token = "", .eos_token = "$"}, *tokenizer);
  EXPECT_EQ(tokenizer->decode(chat.tokens), "S\nUser: hi\nAssistant: yo$\nUser: more\nAssistant: no$\nUser: oh\n");
  EXPECT_EQ(learned_text(chat, *tokenizer), "| yo$\n| no$\n");
  EXPECT_EQ(chat.bytes, std::ssize(chat.tokens));
}

TEST(Chats, SpecialTokensOfTheTemplateBecomeTokensOfMegalodonsVocabulary) {
  const auto tokenizer = text::load_tokenizer(testing::source_path("assets/megalodon"));
  const EncodedChat chat =
      encode_chat({{"user", "Who?"}, {"assistant", "Jane Austen."}, {"user", "Sure?"}, {"assistant", "Yes."}}, plain(kBrackets), *tokenizer);
  EXPECT_EQ(std::count(chat.tokens.begin(), chat.tokens.end(), 1), 2);
  EXPECT_EQ(std::count(chat.tokens.begin(), chat.tokens.end(), 2), 2);
  EXPECT_EQ(chat.tokens.front(), 1);
  EXPECT_EQ(learned_text(chat, *tokenizer), "| Jane Austen. </s>| Yes. </s>");
}

TEST(Chats, ATemplateThatRewritesWhatCameBeforeIsRefused) {
  const auto tokenizer = text::make_bytes_tokenizer();
  const auto said = testing::message_of<InvalidArgument>([&] {
    (void)encode_chat({{"user", "a"}, {"assistant", "b"}}, plain("{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}"),
                      *tokenizer);
  });
  EXPECT_NE(said.find("expected turns that are written the same whatever follows them, got another text before answer 2"), std::string::npos) << said;
}

TEST(Chats, LinesHaveMessagesOrPromptAndResponse) {
  const auto chat = [](const char* line) { return chat_of_line(nlohmann::json::parse(line), "c.jsonl", 7); };
  for (const char* key : {"response", "completion"}) {
    const auto turns = chat((R"({"prompt": "p", ")" + std::string(key) + R"(": "r", "id": 3})").c_str());
    ASSERT_EQ(turns.size(), 2u);
    EXPECT_EQ(turns[0].role + turns[0].content + turns[1].role + turns[1].content, "userpassistantr");
  }
  EXPECT_EQ(chat(R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "name": "x"}]})").size(), 2u);
  const auto refusal = [&](const char* line) { return testing::message_of<FormatError>([&] { (void)chat(line); }); };
  EXPECT_NE(refusal("[]").find("c.jsonl"), std::string::npos);
  EXPECT_NE(refusal(R"({"prompt": "p"})").find("response"), std::string::npos);
  EXPECT_NE(refusal(R"({"messages": {}})").find("a list of turns"), std::string::npos);
  EXPECT_NE(refusal(R"({"messages": [3]})").find("messages[0]"), std::string::npos);
  EXPECT_NE(refusal(R"({"messages": [{"role": "user", "content": null}]})").find("messages[0].content"), std::string::npos);
  EXPECT_NE(refusal(R"({"messages": [{"role": "user", "content": "a"}]})").find("a turn of the role assistant"), std::string::npos);
  EXPECT_NE(refusal(R"({"messages": [{"role": "user", "content": "a"}]})").find("7"), std::string::npos);
}

TEST(Chats, BatchesHaveTheAnswersAsTheirOnlyTargets) {
  const TemporaryFolder folder;
  write_text(folder / "c.jsonl", "{\"prompt\": \"aa\", \"response\": \"bcd\"}\n\n{\"prompt\": \"e\", \"response\": \"fg\"}\n");
  const auto tokenizer = text::make_bytes_tokenizer();
  const auto corpus =
      std::make_shared<Corpus>(read_chats(std::vector{folder / "c.jsonl"}, *tokenizer,
                                          {.chat_template = text::ChatTemplate(text::default_chat_template()), .bos_token = "", .eos_token = ""}));
  EXPECT_EQ(corpus->num_documents(), 2);
  EXPECT_TRUE(corpus->has_unlearned());
  DocumentLanes lanes(corpus, {.batch_size = 1, .seq_len = corpus->num_tokens()});
  const Batch batch = lanes.next();
  std::string learned;
  for (int64_t t = 0; t < batch.targets.size(1); ++t) {
    const auto target = batch.targets[0][t].item<int64_t>();
    if (target != kNoTarget) learned += static_cast<char>(target);
    if (target != kNoTarget && t + 1 < batch.targets.size(1)) {
      EXPECT_EQ(target, batch.tokens[0][t + 1].item<int64_t>());
    }
  }
  EXPECT_EQ(batch.num_targets, 9);  // " bcd\n" and " fg\n", whichever comes first; the ring may be cut inside one
  std::sort(learned.begin(), learned.end());
  EXPECT_EQ(learned, "\n\n  bcdfg");
}

TEST(Chats, FilesAreNamedInComplaints) {
  const TemporaryFolder folder;
  const auto tokenizer = text::make_bytes_tokenizer();
  const auto refusal = [&](const char* name, const char* text) {
    write_text(folder / name, text);
    return testing::message_of<Error>([&] { (void)read_chats(std::vector{folder / name}, *tokenizer, plain()); });
  };
  EXPECT_NE(refusal("a.txt", "x").find("expected conversations: .jsonl"), std::string::npos);
  EXPECT_NE(refusal("b.jsonl", "{}\n{").find("b.jsonl"), std::string::npos);
  write_text(folder / "d.jsonl", R"({"prompt": "p", "response": "r"})");
  const auto said = testing::message_of<InvalidArgument>(
      [&] { (void)read_chats(std::vector{folder / "d.jsonl"}, *tokenizer, plain("{{ raise_exception('no chats today') }}")); });
  EXPECT_NE(said.find("d.jsonl:1"), std::string::npos) << said;
  EXPECT_NE(said.find("no chats today"), std::string::npos) << said;
}

TEST(Chats, ATemplateThatLeavesOutEveryAnswerIsRefused) {
  const TemporaryFolder folder;
  write_text(folder / "c.jsonl", "{\"prompt\": \"p\", \"response\": \"r\"}\n");
  const auto said = testing::message_of<InvalidArgument>([&] {
    (void)read_chats(std::vector{folder / "c.jsonl"}, *text::make_bytes_tokenizer(), plain("{{ messages[0].content }}"));
  });
  EXPECT_NE(said.find("expected answers that are written into the text, got none in 1 conversations"), std::string::npos) << said;
}

TEST(ChatFormat, APromptIsTheTextBeforeItsAnswerAndWhatFollowsAnAnswer) {
  const auto prompt = [](std::string_view source, const char* eos, bool follows) {
    return text::chat_prompt({.chat_template = text::ChatTemplate(source, "t.jinja"), .bos_token = "<s>", .eos_token = eos}, "Why?", follows);
  };
  EXPECT_EQ(prompt(text::default_chat_template(), "</s>", false), "User: Why?\nAssistant:");
  EXPECT_EQ(prompt(text::default_chat_template(), "</s>", true), "\nUser: Why?\nAssistant:");
  EXPECT_EQ(prompt(text::default_chat_template(), "", true), "\nUser: Why?\nAssistant:");
  EXPECT_EQ(prompt(kBrackets, "</s>", false), "<s>[INST] Why? [/INST]");
  EXPECT_EQ(prompt(kBrackets, "</s>", true), "<s>[INST] Why? [/INST]");
  EXPECT_THROW(static_cast<void>(prompt("{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}", "", true)), InvalidArgument);
}

TEST(ChatFormat, TheTemplateIsThatOfTheFileThenOfTheTokenizerThenThePlainOne) {
  const TemporaryFolder folder;
  const auto tokenizer = text::load_tokenizer(testing::source_path("assets/megalodon"));
  const auto source = [&](const std::filesystem::path& file = {}) {
    return text::load_chat_format(folder.path(), *tokenizer, file).chat_template.source();
  };
  EXPECT_EQ(source(), text::default_chat_template());
  write_text(folder / "tokenizer_config.json", R"({"chat_template": [{"name": "tools", "template": "x"}, {"name": "default", "template": "list"}]})");
  EXPECT_EQ(source(), "list");
  write_text(folder / "tokenizer_config.json", R"({"chat_template": "config", "bos_token": {"content": "<s>"}, "eos_token": "</s>"})");
  EXPECT_EQ(source(), "config");
  write_text(folder / "chat_template.jinja", "own");
  EXPECT_EQ(source(), "own");
  write_text(folder / "mine.jinja", "mine");
  EXPECT_EQ(source(folder / "mine.jinja"), "mine");
  const text::ChatFormat format = text::load_chat_format(folder.path(), *tokenizer);
  EXPECT_EQ(format.bos_token + format.eos_token, "<s></s>");
  write_text(folder / "tokenizer_config.json", R"({"chat_template": 3})");
  std::filesystem::remove(folder / "chat_template.jinja");
  EXPECT_NE(testing::message_of<FormatError>([&] { (void)source(); }).find("chat_template"), std::string::npos);
}

}  // namespace
}  // namespace everlong::data
