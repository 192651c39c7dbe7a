#include "everlong/text/chat_format.h"

#include <array>

#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/io/json.h"
#include "everlong/io/mapped_file.h"

namespace everlong::text {
namespace {

namespace fs = std::filesystem;

/// Spellings of begin and end tokens where no file says them.
constexpr std::array<std::string_view, 8> kUsual = {"<s>",   "</s>", "<|endoftext|>", "<|im_end|>", "<|begin_of_text|>", "<|end_of_text|>",
                                                    "<bos>", "<eos>"};

/// tokenizer_config.json's object; empty where there is none.
io::Json read_config(const fs::path& folder) {
  const fs::path path = folder / "tokenizer_config.json";
  if (!fs::is_regular_file(path)) return io::Json::object();
  io::Json config = io::read_json_file(path);
  if (!config.is_object()) throw FormatError({.file = path.string()}, "a JSON object", config.type_name());
  return config;
}

/// "bos_token": "<s>" or {"content": "<s>"}.
std::string spelled(const io::Json& config, const char* key, std::optional<int32_t> id, const Tokenizer& tokenizer) {
  if (!id) return {};
  if (const auto found = config.find(key); found != config.end()) {
    const io::Json& text = found->is_object() ? found->value("content", io::Json()) : *found;
    if (text.is_string() && tokenizer.token_id(text.get_ref<const std::string&>()) == id) return text.get<std::string>();
  }
  for (const std::string_view usual : kUsual)
    if (tokenizer.token_id(usual) == id) return std::string(usual);
  return {};
}

std::optional<std::string> template_in(const io::Json& config, const fs::path& folder) {
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  if (found->is_array())
    for (const io::Json& one : *found)
      if (one.is_object() && one.value("name", io::Json()) == "default" && one.value("template", io::Json()).is_string())
        return one["template"].get<std::string>();
  throw FormatError({.file = (folder / "tokenizer_config.json").string(), .field = "chat_template"}, "a text, or a list with one named default",
                    found->type_name());
}

ChatTemplate find_template(const io::Json& config, const fs::path& folder, const fs::path& template_file) {
  if (!template_file.empty()) return ChatTemplate(io::read_text_file(template_file), template_file.string());
  const fs::path own = folder / kChatTemplateFile;
  if (fs::is_regular_file(own)) return ChatTemplate(io::read_text_file(own), own.string());
  if (const auto text = template_in(config, folder)) return ChatTemplate(*text, (folder / "tokenizer_config.json").string() + ", chat_template");
  return ChatTemplate(default_chat_template(), "default chat template");
}

}  // namespace

std::string chat_prompt(const ChatFormat& format, const std::string& message, bool follows) {
  if (!follows) return format.write({{"user", message}}, true);
  const ChatMessage question{"user", "question"}, answer{"assistant", "answer"};
  const std::string before = format.write({question}, true), whole = format.write({question, answer, {"user", message}}, true);
  const size_t place = whole.starts_with(before) ? whole.find(answer.content, before.size()) : std::string::npos;
  require(place != std::string::npos, [] {
    return Complaint{.where = "chat template",
                     .expected = "turns that are written the same whatever follows them",
                     .got = "another text before an answer once it is there",
                     .hint = "give the whole conversation as --prompt, without --chat"};
  });
  const std::string rest = whole.substr(place + answer.content.size());
  const size_t end = format.eos_token.empty() ? std::string::npos : rest.find(format.eos_token);
  const bool ends_answer = end != std::string::npos && rest.find_first_not_of(" \n") == end;
  return ends_answer ? rest.substr(end + format.eos_token.size()) : rest;
}

ChatFormat load_chat_format(const fs::path& path, const Tokenizer& tokenizer, const fs::path& template_file) {
  const fs::path folder = fs::is_directory(path) ? path : path.parent_path();
  const io::Json config = read_config(folder);
  const SpecialIds ids = tokenizer.special_ids();
  return {.chat_template = find_template(config, folder, template_file),
          .bos_token = spelled(config, "bos_token", ids.bos, tokenizer),
          .eos_token = spelled(config, "eos_token", ids.eos, tokenizer)};
}

}  // namespace everlong::text
