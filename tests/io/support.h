#pragma once
// What the tests of this room share.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "everlong/base/error.h"
#include "tests/support/message.h"

namespace everlong::io {

using testing::message_of;

inline std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
inline std::string as_text(std::span<const std::byte> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace everlong::io
