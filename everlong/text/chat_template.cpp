#include "everlong/text/chat_template.h"

#include <algorithm>
#include <functional>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/text/chat_expression.h"

namespace everlong::text {

using chat::Expression;
using chat::Place;
using chat::Scope;
using io::Json;

/// A piece of a template with what stands inside it.
struct ChatTemplate::Node {
  enum Kind { text, output, branches, loop, set } kind = text;
  int line = 1;
  std::string name = {};                           ///< text: itself; loop, set: the name
  Expression expression = {};                      ///< output, loop, set; of branches inside them
  std::vector<std::unique_ptr<Node>> inside = {};  ///< loop: its body; branches: one node each, without expression for else
};

namespace {

using Node = ChatTemplate::Node;
using Nodes = std::vector<std::unique_ptr<Node>>;

constexpr size_t kMaxSourceBytes = size_t{64} << 10;
constexpr size_t kMaxTextBytes = size_t{256} << 20;
constexpr int64_t kMaxSteps = 200'000;
constexpr int kMaxDepth = 64;
constexpr std::string_view kWhiteSpace = " \t\r\n";

/// Text, or the inside of a tag.
struct Piece {
  enum Kind { text, output, statement } kind = text;
  std::string content;
  int line = 1;
};

/// Cuts a template into text and tags; white space is settled here.
class Cutter {
 public:
  Cutter(std::string_view source, std::string_view file) : source_(source), file_(file) {}

  std::vector<Piece> cut() {
    while (at_ < source_.size()) {
      const size_t tag = find_tag();
      const size_t begin = at_;
      advance_to(tag);
      take_text(source_.substr(begin, tag - begin), tag);
      if (tag < source_.size()) take_tag();
    }
    return std::move(pieces_);
  }

 private:
  [[nodiscard]] Place place() const { return {file_, line_}; }

  [[nodiscard]] size_t find_tag() const {
    for (size_t i = source_.find('{', at_); i != std::string_view::npos; i = source_.find('{', i + 1))
      if (i + 1 < source_.size() && (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#')) return i;
    return source_.size();
  }

  void advance_to(size_t end) {
    line_ +=
        static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_), source_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
    at_ = end;
  }

  void take_text(std::string_view text, size_t tag) {
    if (strip_next_) text.remove_prefix(std::min(text.find_first_not_of(kWhiteSpace), text.size()));
    if (drop_newline_ && text.starts_with('\n')) text.remove_prefix(1);
    strip_next_ = drop_newline_ = false;
    if (tag < source_.size()) {
      const bool strips = tag + 2 < source_.size() && source_[tag + 2] == '-';
      if (strips) {
        text = text.substr(0, text.find_last_not_of(kWhiteSpace) + 1);
      } else if (source_[tag + 1] != '{') {
        const size_t line_begin = text.find_last_not_of(" \t") + 1;  // npos + 1 = 0
        const bool begins_line = line_begin == 0 ? text.data() == source_.data() || text.data()[-1] == '\n' : text[line_begin - 1] == '\n';
        if (begins_line) text = text.substr(0, line_begin);
      }
    }
    if (!text.empty()) pieces_.push_back({.content = std::string(text), .line = line_});
  }

  void take_tag() {
    const char kind = source_[at_ + 1];
    const std::string end = kind == '{' ? "}}" : kind == '%' ? "%}" : "#}";
    const size_t close = kind == '#' ? source_.find(end, at_ + 2) : find_close(at_ + 2, end);
    if (close >= source_.size()) chat::no_jinja(place(), fmt::format("'{}'", end), "the end of the template");
    std::string_view inside = source_.substr(at_ + 2, close - at_ - 2);
    if (inside.starts_with('+') || inside.ends_with('+')) chat::not_in_subset(place(), "+ at the end of a tag");
    if (inside.starts_with('-')) inside.remove_prefix(1);
    strip_next_ = inside.ends_with('-');
    if (strip_next_) inside.remove_suffix(1);
    drop_newline_ = kind != '{';
    if (kind != '#') pieces_.push_back({kind == '{' ? Piece::output : Piece::statement, std::string(inside), line_});
    advance_to(close + 2);
  }

  /// The end of a tag, not inside a text.
  [[nodiscard]] size_t find_close(size_t from, std::string_view end) const {
    for (size_t i = from; i < source_.size(); ++i) {
      if (source_.substr(i, 2) == end) return i;
      if (source_[i] != '\'' && source_[i] != '"') continue;
      const char quote = source_[i];
      for (++i; i < source_.size() && source_[i] != quote; ++i)
        if (source_[i] == '\\') ++i;
    }
    return source_.size();
  }

  std::string_view source_, file_;
  size_t at_ = 0;
  int line_ = 1;
  bool strip_next_ = false, drop_newline_ = false;
  std::vector<Piece> pieces_;
};

/// "for x in y" to "for" and "x in y".
std::pair<std::string, std::string_view> split_word(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kWhiteSpace), text.size()));
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= '0' && c <= '9'); };
  const auto end = std::find_if_not(text.begin(), text.end(), is_letter);
  const auto size = static_cast<size_t>(end - text.begin());
  return {std::string(text.substr(0, size)), text.substr(size)};
}

bool is_blank(std::string_view text) { return text.find_first_not_of(kWhiteSpace) == std::string_view::npos; }

/// Makes the tree of the pieces.
class Builder {
 public:
  Builder(std::vector<Piece> pieces, std::string_view file) : pieces_(std::move(pieces)), file_(file) {}

  std::unique_ptr<Node> build() {
    auto root = std::make_unique<Node>();
    root->kind = Node::loop;
    root->inside = read_until({});
    return root;
  }

 private:
  [[nodiscard]] Place place() const { return {file_, at_ < pieces_.size() ? pieces_[at_].line : pieces_.empty() ? 1 : pieces_.back().line}; }

  /// Nodes up to a statement that begins with one of `ends`, which stays the next piece.
  Nodes read_until(std::initializer_list<std::string_view> ends) {
    if (++depth_ > kMaxDepth) chat::no_jinja(place(), fmt::format("statements at most {} deep", kMaxDepth), "a deeper one");
    Nodes nodes;
    for (; at_ < pieces_.size(); ++at_) {
      const Piece& piece = pieces_[at_];
      auto node = std::make_unique<Node>();
      node->line = piece.line;
      if (piece.kind == Piece::text) {
        node->name = piece.content;
      } else if (piece.kind == Piece::output) {
        node->kind = Node::output;
        node->expression = chat::parse_expression(piece.content, place());
      } else {
        const auto [word, rest] = split_word(piece.content);
        if (std::find(ends.begin(), ends.end(), word) != ends.end()) {
          --depth_;
          return nodes;
        }
        read_statement(word, rest, *node);
      }
      nodes.push_back(std::move(node));
    }
    if (ends.size() > 0) chat::no_jinja(place(), fmt::format("'{}'", *(ends.end() - 1)), "the end of the template");
    --depth_;
    return nodes;
  }

  void read_statement(const std::string& word, std::string_view rest, Node& node) {
    if (word == "if") return read_if(rest, node);
    if (word == "for") return read_for(rest, node);
    if (word == "set") return read_set(rest, node);
    if (word == "elif" || word == "else" || word == "endif" || word == "endfor") chat::no_jinja(place(), "a statement", fmt::format("'{}'", word));
    chat::not_in_subset(place(), fmt::format("the statement '{}'", io::excerpt(word.empty() ? rest : std::string_view(word))));
  }

  void read_if(std::string_view condition, Node& node) {
    node.kind = Node::branches;
    bool is_else = false;
    while (true) {
      auto branch = std::make_unique<Node>();
      branch->line = place().line;
      if (!is_else) branch->expression = chat::parse_expression(condition, place());
      ++at_;
      branch->inside = is_else ? read_until({"endif"}) : read_until({"elif", "else", "endif"});
      node.inside.push_back(std::move(branch));
      const auto [word, rest] = split_word(pieces_[at_].content);
      if (word != "elif" && !is_blank(rest)) chat::no_jinja(place(), fmt::format("the end of the tag after '{}'", word), io::excerpt(rest));
      if (word == "endif") return;
      is_else = word == "else";
      condition = rest;
    }
  }

  void read_for(std::string_view head, Node& node) {
    node.kind = Node::loop;
    const auto [name, after] = split_word(head);
    const auto [in, list] = split_word(after);
    if (!name.empty() && after.find(',') < after.find("in")) chat::not_in_subset(place(), "a loop with several names");
    if (name.empty() || in != "in") chat::no_jinja(place(), "for NAME in EXPRESSION", fmt::format("'for{}'", io::excerpt(head)));
    node.name = name;
    node.expression = chat::parse_expression(list, place());
    ++at_;
    node.inside = read_until({"else", "endfor"});
    if (split_word(pieces_[at_].content).first == "else") chat::not_in_subset(place(), "else of a loop");
  }

  void read_set(std::string_view head, Node& node) {
    node.kind = Node::set;
    const auto [name, after] = split_word(head);
    const size_t sign = after.find_first_not_of(kWhiteSpace);
    if (name.empty() || sign == std::string_view::npos || after[sign] != '=') chat::not_in_subset(place(), "a set without NAME = EXPRESSION");
    node.name = name;
    node.expression = chat::parse_expression(after.substr(sign + 1), place());
  }

  std::vector<Piece> pieces_;
  std::string_view file_;
  size_t at_ = 0;
  int depth_ = 0;
};

class Renderer {
 public:
  explicit Renderer(std::string_view file) : file_(file) {}

  void render(const Nodes& nodes, Scope& scope) {
    for (const auto& node : nodes) render(*node, scope);
  }
  std::string take() { return std::move(text_); }

 private:
  void render(const Node& node, Scope& scope) {
    const Place place{file_, node.line};
    if (++steps_ > kMaxSteps) chat::cannot(place, "more steps than a conversation needs");
    switch (node.kind) {
      case Node::text:
        return write(node.name, place);
      case Node::output:
        return write(chat::printed(node.expression(scope), place), place);
      case Node::set:
        return scope.set(node.name, node.expression(scope));
      case Node::branches:
        return choose(node, scope);
      case Node::loop:
        return loop(node, scope, place);
    }
  }

  void choose(const Node& node, Scope& scope) {
    for (const auto& branch : node.inside)
      if (!branch->expression || chat::is_true(branch->expression(scope))) return render(branch->inside, scope);
  }

  void loop(const Node& node, const Scope& scope, const Place& place) {
    const Json list = node.expression(scope);
    if (!list.is_array()) chat::cannot(place, "a loop over something that is no list");
    for (size_t i = 0; i < list.size(); ++i) {
      Scope inner(&scope);
      inner.set(node.name, list[i]);
      inner.set("loop", {{"index", i + 1}, {"index0", i}, {"first", i == 0}, {"last", i + 1 == list.size()}, {"length", list.size()}});
      render(node.inside, inner);
    }
  }

  void write(std::string_view text, const Place& place) {
    if (text_.size() + text.size() > kMaxTextBytes) chat::cannot(place, "a conversation of more than 256 MiB");
    text_ += text;
  }

  std::string_view file_;
  std::string text_;
  int64_t steps_ = 0;
};

}  // namespace

ChatTemplate::ChatTemplate(std::string_view source, std::string name) : source_(source), name_(std::make_unique<const std::string>(std::move(name))) {
  if (source_.size() > kMaxSourceBytes) chat::not_in_subset({*name_, 1}, "a template of more than 64 KiB");
  std::string_view kept = source_;
  if (kept.ends_with('\n')) kept.remove_suffix(1);
  root_ = Builder(Cutter(kept, *name_).cut(), *name_).build();
}

ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

std::string ChatTemplate::render(const std::vector<ChatMessage>& messages, const ChatContext& context) const {
  Json list = Json::array();
  for (const ChatMessage& message : messages) list.push_back({{"role", message.role}, {"content", message.content}});
  Scope scope;
  scope.set("messages", std::move(list));
  scope.set("bos_token", context.bos_token);
  scope.set("eos_token", context.eos_token);
  scope.set("add_generation_prompt", context.add_generation_prompt);
  Renderer renderer(*name_);
  renderer.render(root_->inside, scope);
  return renderer.take();
}

std::string_view default_chat_template() {
  return "{% for message in messages %}"
         "{% if message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token + '\\n' }}"
         "{% elif message['role'] == 'system' %}{{ message['content'] + '\\n' }}"
         "{% else %}{{ 'User: ' + message['content'] + '\\n' }}{% endif %}"
         "{% endfor %}"
         "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";
}

}  // namespace everlong::text
