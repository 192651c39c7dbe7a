#pragma once
// Whole numbers out of JSON objects that a file holds.

#include <concepts>
#include <cstdint>
#include <limits>
#include <string_view>

#include "everlong/io/json.h"

namespace everlong::io {

/// Reads the member `key` of `object` as a whole number from 0 to `most`. Numbers with a fraction or an exponent are none.
/// Errors   FormatError naming file and key if it is missing, something else, or out of range
[[nodiscard]] uint64_t whole_number(const Json& object, std::string_view key, std::string_view file_name, uint64_t most);

/// As above, into a number that bounds it. Its value is left as it was on an error.
template <std::integral Number>
void read_whole_number(const Json& object, std::string_view key, std::string_view file_name, Number& number) {
  number = static_cast<Number>(whole_number(object, key, file_name, static_cast<uint64_t>(std::numeric_limits<Number>::max())));
}

}  // namespace everlong::io
