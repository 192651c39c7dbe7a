#pragma once
// A chat template with the tokens that it names: how one tokenizer's conversations look.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/text/chat_template.h"
#include "everlong/text/tokenizer.h"

namespace everlong::text {

/// Name under which a template lies beside a tokenizer's files.
inline constexpr std::string_view kChatTemplateFile = "chat_template.jinja";

struct ChatFormat {
  ChatTemplate chat_template;
  std::string bos_token, eos_token;  ///< as spelled; empty where the tokenizer has none

  /// Writes turns down; `before_answer` = with what stands before an answer to them.
  [[nodiscard]] std::string write(const std::vector<ChatMessage>& turns, bool before_answer) const {
    return chat_template.render(turns, {.bos_token = bos_token, .eos_token = eos_token, .add_generation_prompt = before_answer});
  }
};

/// Finds the format that goes with the tokenizer of a folder (or of the folder that a file lies in). The template is the first of `template_file` if
/// that is not empty, chat_template.jinja, the key chat_template of tokenizer_config.json (of several that named "default"), default_chat_template().
/// Errors   IoError; FormatError; Unsupported as ChatTemplate
[[nodiscard]] ChatFormat load_chat_format(const std::filesystem::path& path, const Tokenizer& tokenizer,
                                          const std::filesystem::path& template_file = {});

/// What a model reads to answer `message`. With `follows` it has read a conversation up to the end token of an answer, and this is what comes after that.
/// Errors   as ChatTemplate::render; InvalidArgument if a template writes turns differently once others follow
[[nodiscard]] std::string chat_prompt(const ChatFormat& format, const std::string& message, bool follows);

}  // namespace everlong::text
