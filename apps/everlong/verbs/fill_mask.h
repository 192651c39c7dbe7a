#pragma once
// everlong fill-mask: options and their declaration.

#include <cstdint>
#include <string>
#include <vector>

#include "apps/everlong/syntax.h"

namespace everlong::app {

struct FillMaskOptions {
  std::string model;
  std::vector<std::string> texts;
  int64_t top_k = 5;
  bool json = false;
  ComputeOptions compute;
};

Syntax declare_fill_mask(Syntax& program, FillMaskOptions& options);

}  // namespace everlong::app
