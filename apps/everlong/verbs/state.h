#pragma once
// everlong state info|diff: options, their declaration, and what runs without torch.

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

/// Reads the header and the positions only; no torch.
/// Errors   FormatError if the file is damaged; StateError if it is a safetensors file of something else
int run_state_info(const StateOptions& options);

}  // namespace everlong::app
