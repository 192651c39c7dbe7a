#pragma once
// Chat templates: how a tokenizer's makers write a conversation down as one text. A declared subset of Jinja.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace everlong::text {

/// One turn of a conversation.
struct ChatMessage {
  std::string role;  ///< "system", "user", "assistant", or what the template knows
  std::string content;
};

/// What a template may refer to beside the messages.
struct ChatContext {
  std::string bos_token, eos_token;
  bool add_generation_prompt = false;  ///< end with what stands before an answer
};

/// A parsed template. Immutable.
///
/// Statements   for NAME in EXPR, if / elif / else, set NAME = EXPR; comments; - at either end of a tag strips white space
/// Expressions  texts, whole numbers, true, false, none; and, or, not, == != < <= > >=, in, not in, + - % ~, is (not) defined / none / string;
///              a.b, a['b'], a[0], a[1:], .strip(), .lstrip(), .rstrip(), | trim, | length, X if C else Y; raise_exception(text)
/// Names        messages (role, content), bos_token, eos_token, add_generation_prompt; in a loop: loop.index, index0, first, last, length
///
/// The newline after a tag and the spaces before one that begins a line are dropped, and a newline at the very end, as Transformers does.
class ChatTemplate {
 public:
  /// Parses a template; `name` is for messages.
  /// Errors   Unsupported naming the line and the construct that is not in the subset; FormatError naming the line of what is no Jinja;
  ///          both for templates of more than 64 KiB or deeper than 64 levels
  explicit ChatTemplate(std::string_view source, std::string name = "chat template");
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  /// Writes a conversation down.
  /// Errors   InvalidArgument with the template's own words where it calls raise_exception, or naming the line of an operation that its values do not
  ///          allow, or if the text grows beyond 256 MiB
  [[nodiscard]] std::string render(const std::vector<ChatMessage>& messages, const ChatContext& context) const;

  [[nodiscard]] const std::string& source() const { return source_; }

  struct Node;  ///< of the parsed template

 private:
  std::string source_;
  std::unique_ptr<const std::string> name_;  ///< on the heap: the tree refers to it when this moves
  std::unique_ptr<Node> root_;
};

/// The template of tokenizers without one: "User: ..." and "Assistant: ..." on lines of their own, answers ended by the end token.
[[nodiscard]] std::string_view default_chat_template();

}  // namespace everlong::text
