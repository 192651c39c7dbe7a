#pragma once

#include <string>
#include <string_view>

namespace everlong {

/// Hashes a text, for files of others that name their parts by this digest. Returns 64 lower-case hexadecimal digits.
/// Source   FIPS 180-4, section 6.2. Exact.
[[nodiscard]] std::string sha256_hex(std::string_view text);

}  // namespace everlong
