#pragma once
// What an action complains about.

#include <exception>
#include <string>

namespace everlong::testing {

/// Message of the `E` that `action` throws, with `folder` cut out of it so that it can be compared.
template <class E>
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

}  // namespace everlong::testing
