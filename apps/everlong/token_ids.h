#pragma once
// Token ids as text, JSON and binary words.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "apps/everlong/verbs/tokenize.h"

namespace everlong::app {

/// Writes ids in a format: "1 2 3\n", "[1,2,3]\n", or little-endian words without a frame.
/// Errors   InvalidArgument if an id does not fit into the words
[[nodiscard]] std::string ids_to_text(std::span<const int32_t> ids, IdFormat format);

/// The inverse of ids_to_text; numbers as text may be apart by any white space. `file_name` is for messages.
/// Errors   FormatError naming file and offset for anything that is not an id in [0, 2^31)
[[nodiscard]] std::vector<int32_t> ids_from_text(std::string_view text, IdFormat format, std::string_view file_name);

}  // namespace everlong::app
