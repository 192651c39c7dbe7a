#pragma once
// Text that is safe inside HTML and inside JSON in a script element.

#include <string>
#include <string_view>

namespace everlong::report {

/// Makes any bytes valid UTF-8 that XML and HTML allow: what is not becomes U+FFFD.
[[nodiscard]] std::string clean_utf8(std::string_view bytes);

/// Escapes text for element content and for quoted attributes.
[[nodiscard]] std::string escape_html(std::string_view text);

/// A JSON string with its quotes, in ASCII, in which no `<`, `>` or `&` is left: it cannot end a script element.
[[nodiscard]] std::string json_string(std::string_view text);

/// A JSON number of `digits` significant digits; null if it is not finite.
[[nodiscard]] std::string json_number(double value, int digits = 5);

/// The first `max_bytes` of the text, cut between characters, with an ellipsis where something was cut.
[[nodiscard]] std::string shorten(std::string_view text, size_t max_bytes);

/// A count as people read it: 950, 12.3 k, 1.05 M; an en dash if it is missing.
[[nodiscard]] std::string short_count(double value, int digits = 3);

/// A value with fixed decimals; an en dash if it is missing.
[[nodiscard]] std::string fixed(double value, int decimals);

}  // namespace everlong::report
