#pragma once
// What the operators, tests and filters of chat templates do with values. Private to the room.

#include <string>
#include <string_view>

#include "everlong/text/chat_expression.h"

namespace everlong::text::chat {

// All of them: InvalidArgument naming file and line if the operation does not go with the kinds of its values.

[[nodiscard]] bool compare(const io::Json& left, std::string_view sign, const io::Json& right, const Place& place);
[[nodiscard]] bool contains(const io::Json& whole, const io::Json& part, const Place& place);
/// '+' and '-' of numbers, '+' of texts, '~' of anything that prints.
[[nodiscard]] io::Json add(const io::Json& left, char sign, const io::Json& right, const Place& place);
/// With the sign of the divisor, as Python's %.
[[nodiscard]] io::Json remainder(const io::Json& left, const io::Json& right, const Place& place);
/// object[key]; undefined where there is none.
[[nodiscard]] io::Json member(const io::Json& object, const io::Json& key, const Place& place);
/// whole[from:] of a list or a text.
[[nodiscard]] io::Json rest_from(const io::Json& whole, const io::Json& from, const Place& place);
[[nodiscard]] io::Json strip(const io::Json& text, bool at_start, bool at_end, const Place& place);

[[nodiscard]] bool is_known_test(std::string_view name);
[[nodiscard]] bool passes(std::string_view test, const io::Json& value);
[[nodiscard]] bool is_known_filter(std::string_view name);
[[nodiscard]] io::Json filter(std::string_view name, const io::Json& value, const Place& place);

/// Ends the rendering with the template's own words. Errors  InvalidArgument, always
[[noreturn]] void refuse_chat(const Place& place, std::string_view words);

}  // namespace everlong::text::chat
