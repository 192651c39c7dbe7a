#pragma once
// The manual page, written from the declared command line.

#include <string>

#include "apps/everlong/description.h"

namespace everlong::app {

/// Writes everlong(1) in the man macros of troff.
[[nodiscard]] std::string man_page(const VerbDescription& program);

}  // namespace everlong::app
