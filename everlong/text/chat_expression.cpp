#include "everlong/text/chat_expression.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/text/chat_values.h"

namespace everlong::text::chat {
namespace {

using io::Json;

constexpr int kMaxDepth = 64;
constexpr std::string_view kSpaces = " \t\r\n";

/// A word, number, text or sign of an expression.
struct Token {
  enum Kind { end, name, number, text, sign } kind = end;
  std::string value = {};
};

bool begins_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  Lexer(std::string_view source, const Place& place) : source_(source), place_(place) {}

  Token next() {
    at_ = std::min(source_.find_first_not_of(kSpaces, at_), source_.size());
    if (at_ == source_.size()) return {};
    const char c = source_[at_];
    if (c == '\'' || c == '"') return text(c);
    if (begins_name(c)) return take(Token::name, [](char d) { return begins_name(d) || is_digit(d); });
    if (is_digit(c)) return take(Token::number, is_digit);
    for (const std::string_view sign : {"==", "!=", "<=", ">=", "**", "//"})
      if (source_.substr(at_, 2) == sign) return at_ += 2, Token{Token::sign, std::string(sign)};
    return ++at_, Token{Token::sign, std::string(1, c)};
  }

 private:
  Token take(Token::Kind kind, bool (*inside)(char)) {
    const size_t begin = at_;
    while (at_ < source_.size() && inside(source_[at_])) ++at_;
    return {kind, std::string(source_.substr(begin, at_ - begin))};
  }

  Token text(char quote) {
    Token token{Token::text};
    for (++at_; at_ < source_.size(); ++at_) {
      char c = source_[at_];
      if (c == quote) return ++at_, token;
      if (c == '\\' && at_ + 1 < source_.size()) {
        c = source_[++at_];
        if (c == 'n' || c == 't' || c == 'r') {
          c = c == 'n' ? '\n' : c == 't' ? '\t' : '\r';
        } else if (c != '\\' && c != '\'' && c != '"') {
          not_in_subset(place_, fmt::format("the escape \\{}", c));
        }
      }
      token.value += c;
    }
    no_jinja(place_, "the end of a text", "the end of the tag");
  }

  std::string_view source_;
  const Place& place_;
  size_t at_ = 0;
};

class Parser {
 public:
  Parser(std::string_view source, const Place& place) : lexer_(source, place), place_(place) { advance(); }

  Expression whole() {
    Expression found = choice();
    if (token_.kind != Token::end) no_jinja(place_, "the end of the tag", shown());
    return found;
  }

 private:
  void advance() { token_ = lexer_.next(); }
  [[nodiscard]] bool is(Token::Kind kind, std::string_view value) const { return token_.kind == kind && token_.value == value; }
  bool skip(Token::Kind kind, std::string_view value) { return is(kind, value) ? (advance(), true) : false; }
  void expect(std::string_view sign) {
    if (!skip(Token::sign, sign)) no_jinja(place_, fmt::format("'{}'", sign), shown());
  }
  [[nodiscard]] std::string shown() const {
    return token_.kind == Token::end ? "the end of the tag" : fmt::format("'{}'", io::excerpt(token_.value));
  }

  Expression choice() {
    if (++depth_ > kMaxDepth) no_jinja(place_, fmt::format("expressions at most {} deep", kMaxDepth), "a deeper one");
    Expression found = either();
    if (skip(Token::name, "if")) {
      const Expression condition = either();
      const Expression other = skip(Token::name, "else") ? choice() : [](const Scope&) { return undefined(); };
      found = [=](const Scope& scope) { return is_true(condition(scope)) ? found(scope) : other(scope); };
    }
    --depth_;
    return found;
  }

  Expression either() {
    Expression left = both();
    while (skip(Token::name, "or"))
      left = [left, right = both()](const Scope& scope) {
        Json value = left(scope);
        return is_true(value) ? value : right(scope);
      };
    return left;
  }

  Expression both() {
    Expression left = negation();
    while (skip(Token::name, "and"))
      left = [left, right = negation()](const Scope& scope) {
        Json value = left(scope);
        return is_true(value) ? right(scope) : value;
      };
    return left;
  }

  Expression negation() {
    int count = 0;
    while (skip(Token::name, "not")) ++count;
    Expression found = comparison();
    if (count == 0) return found;
    return [found, odd = count % 2 == 1](const Scope& scope) { return Json(is_true(found(scope)) != odd); };
  }

  Expression comparison() {
    Expression left = sum();
    static const std::set<std::string_view> kSigns = {"==", "!=", "<", "<=", ">", ">="};
    while (true) {
      if (token_.kind == Token::sign && kSigns.contains(token_.value)) {
        const std::string sign = std::exchange(token_, lexer_.next()).value;
        left = [left, right = sum(), sign, place = place_](const Scope& scope) { return Json(compare(left(scope), sign, right(scope), place)); };
      } else if (skip(Token::name, "in")) {
        left = [left, right = sum(), place = place_](const Scope& scope) { return Json(contains(right(scope), left(scope), place)); };
      } else if (skip(Token::name, "not")) {
        if (!skip(Token::name, "in")) no_jinja(place_, "'in' after 'not'", shown());
        left = [left, right = sum(), place = place_](const Scope& scope) { return Json(!contains(right(scope), left(scope), place)); };
      } else if (skip(Token::name, "is")) {
        left = test(left);
      } else {
        return left;
      }
    }
  }

  Expression test(const Expression& tested) {
    const bool negated = skip(Token::name, "not");
    const std::string name = token_.value;
    if (token_.kind != Token::name || !is_known_test(name)) not_in_subset(place_, fmt::format("the test 'is {}'", io::excerpt(name)));
    advance();
    return [=](const Scope& scope) { return Json(passes(name, tested(scope)) != negated); };
  }

  Expression sum() {
    Expression left = product();
    while (is(Token::sign, "+") || is(Token::sign, "-") || is(Token::sign, "~")) {
      const char sign = std::exchange(token_, lexer_.next()).value[0];
      left = [left, right = product(), sign, place = place_](const Scope& scope) { return add(left(scope), sign, right(scope), place); };
    }
    return left;
  }

  Expression product() {
    Expression left = filtered();
    while (skip(Token::sign, "%"))
      left = [left, right = filtered(), place = place_](const Scope& scope) { return remainder(left(scope), right(scope), place); };
    for (const std::string_view sign : {"*", "/", "**", "//"})
      if (is(Token::sign, sign)) not_in_subset(place_, fmt::format("the operator {}", sign));
    return left;
  }

  Expression filtered() {
    Expression found = path();
    while (skip(Token::sign, "|")) {
      const std::string name = token_.value;
      if (token_.kind != Token::name || !is_known_filter(name)) not_in_subset(place_, fmt::format("the filter '{}'", io::excerpt(name)));
      advance();
      if (is(Token::sign, "(")) not_in_subset(place_, fmt::format("arguments of the filter '{}'", name));
      found = [found, name, place = place_](const Scope& scope) { return filter(name, found(scope), place); };
    }
    return found;
  }

  Expression path() {
    Expression found = atom();
    while (true) {
      if (skip(Token::sign, ".")) {
        const std::string name = token_.value;
        if (token_.kind != Token::name) no_jinja(place_, "a name after '.'", shown());
        advance();
        if (is(Token::sign, "(")) {
          found = method(found, name);
        } else {
          found = [found, name, place = place_](const Scope& scope) { return member(found(scope), Json(name), place); };
        }
      } else if (skip(Token::sign, "[")) {
        found = subscript(found);
      } else {
        return found;
      }
    }
  }

  Expression method(const Expression& object, const std::string& name) {
    if (name != "strip" && name != "lstrip" && name != "rstrip") not_in_subset(place_, fmt::format("the method .{}()", io::excerpt(name)));
    expect("(");
    if (!skip(Token::sign, ")")) not_in_subset(place_, fmt::format("arguments of .{}()", name));
    return [=, place = place_](const Scope& scope) { return strip(object(scope), name != "rstrip", name != "lstrip", place); };
  }

  Expression subscript(const Expression& object) {
    if (skip(Token::sign, ":")) not_in_subset(place_, "slices other than [n:]");
    const Expression index = choice();
    if (skip(Token::sign, ":")) {
      if (!skip(Token::sign, "]")) not_in_subset(place_, "slices other than [n:]");
      return [=, place = place_](const Scope& scope) { return rest_from(object(scope), index(scope), place); };
    }
    expect("]");
    return [=, place = place_](const Scope& scope) { return member(object(scope), index(scope), place); };
  }

  Expression atom() {
    const Token token = std::exchange(token_, lexer_.next());
    switch (token.kind) {
      case Token::text:
        return constant(Json(token.value));
      case Token::number:
        return whole_number(token.value, 1);
      case Token::name:
        return name_or_call(token.value);
      case Token::end:
        no_jinja(place_, "an expression", "the end of the tag");
      case Token::sign:
        break;
    }
    if (token.value == "-" && token_.kind == Token::number) return whole_number(std::exchange(token_, lexer_.next()).value, -1);
    if (token.value == "[" || token.value == "{") not_in_subset(place_, "lists and objects written out");
    if (token.value != "(") no_jinja(place_, "an expression", fmt::format("'{}'", io::excerpt(token.value)));
    Expression inside = choice();
    expect(")");
    return inside;
  }

  static Expression constant(Json value) {
    return [value = std::move(value)](const Scope&) { return value; };
  }

  Expression whole_number(const std::string& digits, int64_t sign) {
    int64_t number = 0;
    if (std::from_chars(digits.data(), digits.data() + digits.size(), number).ec != std::errc())
      not_in_subset(place_, "numbers of more than 63 bits");
    if (is(Token::sign, ".")) not_in_subset(place_, "numbers with a point");
    return constant(Json(sign * number));
  }

  Expression name_or_call(const std::string& name) {
    if (name == "true" || name == "True") return constant(Json(true));
    if (name == "false" || name == "False") return constant(Json(false));
    if (name == "none" || name == "None") return constant(Json(nullptr));
    if (is(Token::sign, "(")) {
      if (name != "raise_exception") not_in_subset(place_, fmt::format("the call {}()", io::excerpt(name)));
      expect("(");
      const Expression reason = choice();
      expect(")");
      return [=, place = place_](const Scope& scope) -> Json { refuse_chat(place, printed(reason(scope), place)); };
    }
    return [name](const Scope& scope) {
      const Json* value = scope.find(name);
      return value != nullptr ? *value : undefined();
    };
  }

  Lexer lexer_;
  Place place_;
  Token token_;
  int depth_ = 0;
};

}  // namespace

Expression parse_expression(std::string_view source, const Place& place) { return Parser(source, place).whole(); }

const Json* Scope::find(const std::string& name) const {
  const auto found = values_.find(name);
  if (found != values_.end()) return &found->second;
  return outer_ == nullptr ? nullptr : outer_->find(name);
}

void Scope::set(const std::string& name, Json value) { values_.insert_or_assign(name, std::move(value)); }

}  // namespace everlong::text::chat
