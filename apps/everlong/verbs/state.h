#pragma once
// everlong state info|diff: options and their declaration.

#include <string>

#include "apps/everlong/syntax.h"

namespace everlong::app {

enum class StateAction { info, diff };

struct StateOptions {
  StateAction action = StateAction::info;
  std::string file;
  std::string other;     ///< diff
  double tolerance = 0;  ///< diff: largest absolute difference that counts as equal
  bool json = false;
};

Syntax declare_state(Syntax& program, StateOptions& options);

}  // namespace everlong::app
