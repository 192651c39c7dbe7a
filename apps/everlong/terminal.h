#pragma once
// What standard error is connected to.

#include <cstdio>

namespace everlong::app {

struct Terminal {
  bool interactive = false;  ///< a terminal that can move its cursor
  bool color = false;        ///< interactive, and NO_COLOR is not set
  int width = 80;            ///< columns, >= 20
};

/// Asks the stream behind `stream` (and COLUMNS, NO_COLOR, TERM).
[[nodiscard]] Terminal terminal_of(std::FILE* stream);

}  // namespace everlong::app
