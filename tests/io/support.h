#pragma once
// What the tests of this room share.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "everlong/base/error.h"

namespace everlong::io {

/// Message of the `E` that `action` throws, with `folder` cut out of it so that it can be compared.
template <class E = FormatError>
std::string message_of(const auto& action, const std::string& folder = {}) {
  try {
    action();
  } catch (const E& error) {
    std::string text = error.what();
    for (size_t at; !folder.empty() && (at = text.find(folder)) != std::string::npos;) text.erase(at, folder.size());
    return text;
  } catch (const std::exception& error) {
    return std::string("another kind of exception: ") + error.what();
  }
  return "nothing was thrown";
}

inline std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
inline std::string as_text(std::span<const std::byte> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace everlong::io
