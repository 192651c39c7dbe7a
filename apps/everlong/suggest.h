#pragma once
// The word that was probably meant.

#include <string>
#include <string_view>
#include <vector>

namespace everlong::app {

/// The one of `known` that `typed` is nearest to, by letters added, left out, replaced or swapped, or that it begins; empty if none is near.
[[nodiscard]] std::string nearest(std::string_view typed, const std::vector<std::string>& known);

}  // namespace everlong::app
