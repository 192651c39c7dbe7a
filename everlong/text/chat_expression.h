#pragma once
// Expressions of chat templates: parsed once, evaluated against names. Private to the room.

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/io/json.h"

namespace everlong::text::chat {

/// Where a piece of a template stands, for complaints.
struct Place {
  std::string_view file;
  int line = 1;
};

/// Errors   Unsupported / FormatError / InvalidArgument naming file and line
[[noreturn]] void not_in_subset(const Place& place, std::string_view construct);
[[noreturn]] void no_jinja(const Place& place, std::string_view expected, std::string_view got);
[[noreturn]] void cannot(const Place& place, std::string_view what);

/// Names and their values; an inner scope sees the outer one.
class Scope {
 public:
  explicit Scope(const Scope* outer = nullptr) : outer_(outer) {}

  /// The value of a name; null pointer where it is not defined.
  [[nodiscard]] const io::Json* find(const std::string& name) const;
  void set(const std::string& name, io::Json value);

 private:
  const Scope* outer_;
  std::map<std::string, io::Json> values_;
};

/// The value of something that is not defined: prints as nothing, counts as false.
[[nodiscard]] io::Json undefined();

/// An expression, ready to be evaluated.
using Expression = std::function<io::Json(const Scope& scope)>;

/// Parses an expression that fills `source`. Errors  Unsupported, FormatError naming the line
[[nodiscard]] Expression parse_expression(std::string_view source, const Place& place);

/// What counts as true: not undefined, null, false, 0, an empty text or list.
[[nodiscard]] bool is_true(const io::Json& value);

/// A value as a template prints it. Errors  InvalidArgument for lists and objects
[[nodiscard]] std::string printed(const io::Json& value, const Place& place);

}  // namespace everlong::text::chat
