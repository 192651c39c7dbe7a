#pragma once
// everlong verify: options and their declaration.

#include <optional>
#include <string>
#include <vector>

#include "apps/everlong/syntax.h"

namespace everlong::app {

struct VerifyOptions {
  std::vector<std::string> cases;
  std::optional<double> tolerance;  ///< none = the bound of the case's dtype
  std::string dump;                 ///< safetensors file for what was computed; empty = none
  bool json = false;
  ComputeOptions compute;
};

Syntax declare_verify(Syntax& program, VerifyOptions& options);

}  // namespace everlong::app
