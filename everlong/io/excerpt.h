#pragma once
// Text from a file inside a message: short, on one line, always valid UTF-8.

#include <cstddef>
#include <string>
#include <string_view>

namespace everlong::io {

[[nodiscard]] bool is_valid_utf8(std::string_view text);

/// The beginning of `text` as it may be shown: control characters and bytes that are not UTF-8 as \xNN, "..." where it was cut.
[[nodiscard]] std::string excerpt(std::string_view text, size_t max_bytes = 60);

}  // namespace everlong::io
