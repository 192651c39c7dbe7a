#include "everlong/data/chats.h"

#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/data/text_documents.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/lines.h"

namespace everlong::data {
namespace {

using text::ChatMessage;

std::vector<int32_t> encode(const text::Tokenizer& tokenizer, std::string_view text) { return tokenizer.encode(text, {.add_special = false}); }

size_t common_length(std::span<const int32_t> a, std::span<const int32_t> b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

/// What a template writes of the first `count` turns.
std::string text_of(const std::vector<ChatMessage>& messages, size_t count, const text::ChatFormat& format, bool before_answer) {
  return format.write({messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(count)}, before_answer);
}

std::string text_member(const io::Json& object, const char* key, const FileLocation& location) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) {
    FileLocation where = location;
    where.field = location.field.empty() ? key : location.field + "." + key;
    throw FormatError(where, "a text", found == object.end() ? "none" : found->type_name());
  }
  return found->get<std::string>();
}

}  // namespace

EncodedChat encode_chat(const std::vector<ChatMessage>& messages, const text::ChatFormat& format, const text::Tokenizer& tokenizer) {
  const std::string whole = format.write(messages, false);
  EncodedChat chat{.tokens = encode(tokenizer, whole), .learned = {}, .bytes = static_cast<int64_t>(whole.size())};
  chat.learned.assign(chat.tokens.size(), 0);
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role != "assistant") continue;
    const std::string before = text_of(messages, i, format, true), after = text_of(messages, i + 1, format, false);
    require(after.starts_with(before) && whole.starts_with(after), [&] {
      return Complaint{.where = "chat template",
                       .expected = "turns that are written the same whatever follows them",
                       .got = fmt::format("another text before answer {} once it is there", i + 1),
                       .hint = "write a simpler template and name it in data.chat_template"};
    });
    const size_t begin = common_length(chat.tokens, encode(tokenizer, before));
    const size_t end = after.size() == whole.size() ? chat.tokens.size() : common_length(chat.tokens, encode(tokenizer, after));
    if (begin < end)
      std::fill(chat.learned.begin() + static_cast<std::ptrdiff_t>(begin), chat.learned.begin() + static_cast<std::ptrdiff_t>(end), uint8_t{1});
  }
  return chat;
}

std::vector<ChatMessage> chat_of_line(const io::Json& line, std::string_view file, int64_t line_number) {
  const FileLocation location{.file = std::string(file), .offset = line_number};
  if (!line.is_object()) throw FormatError(location, "an object", line.type_name());
  if (!line.contains("messages")) {
    const char* answer = line.contains("completion") ? "completion" : "response";
    return {{"user", text_member(line, "prompt", location)}, {"assistant", text_member(line, answer, location)}};
  }
  FileLocation list = location;
  list.field = "messages";
  const io::Json& turns = line.at("messages");
  if (!turns.is_array()) throw FormatError(list, "a list of turns", turns.type_name());
  std::vector<ChatMessage> messages;
  bool answers = false;
  for (const io::Json& turn : turns) {
    FileLocation where = list;
    where.field = fmt::format("messages[{}]", messages.size());
    if (!turn.is_object()) throw FormatError(where, "an object with role and content", turn.type_name());
    messages.push_back({text_member(turn, "role", where), text_member(turn, "content", where)});
    answers |= messages.back().role == "assistant";
  }
  if (!answers) throw FormatError(list, "a turn of the role assistant", "none");
  return messages;
}

Corpus read_chats(std::span<const std::filesystem::path> files, const text::Tokenizer& tokenizer, const text::ChatFormat& format) {
  struct Tokens {
    std::vector<int32_t> ids;
    std::vector<uint8_t> learned;
  };
  auto all = std::make_shared<Tokens>();
  std::vector<int64_t> lens, bytes;
  bool learns = false;
  for (const auto& path : files) {
    require(text_file_kind(path) == TextFileKind::jsonl,
            [&] { return Complaint{.where = "data", .expected = "conversations: .jsonl, also with .gz or .zst after it", .got = path.string()}; });
    io::LineReader lines(path);
    while (const auto line = lines.next()) {
      if (line->find_first_not_of(" \t\r") == std::string_view::npos) continue;
      const std::string where = fmt::format("{}:{}", path.string(), lines.line_number());
      try {
        const EncodedChat chat = encode_chat(chat_of_line(io::parse_json(*line, where), path.string(), lines.line_number()), format, tokenizer);
        learns |= std::find(chat.learned.begin(), chat.learned.end(), 1) != chat.learned.end();
        all->ids.insert(all->ids.end(), chat.tokens.begin(), chat.tokens.end());
        all->learned.insert(all->learned.end(), chat.learned.begin(), chat.learned.end());
        lens.push_back(std::ssize(chat.tokens));
        bytes.push_back(chat.bytes);
      } catch (const InvalidArgument& error) {
        throw InvalidArgument({.where = where, .expected = "a conversation that the chat template takes", .got = error.what()});
      }
    }
  }
  require(learns || lens.empty(), [&] {
    return Complaint{.where = "chat template",
                     .expected = "answers that are written into the text",
                     .got = fmt::format("none in {} conversations", lens.size()),
                     .hint = "nothing would be learned: write another template and name it in data.chat_template"};
  });
  const std::span<const std::byte> tokens = std::as_bytes(std::span(all->ids));
  const std::span<const uint8_t> learned = all->learned;
  Corpus corpus;
  corpus.append(
      {.name = "conversations", .type = TokenType::i32, .bytes = tokens, .learned = learned, .vocab_size = tokenizer.vocab_size(), .owner = all},
      lens, bytes);
  return corpus;
}

}  // namespace everlong::data
