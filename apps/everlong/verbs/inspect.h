#pragma once
// everlong inspect: options, their declaration, and what runs. Reads headers only; no torch.

#include <string>

#include "apps/everlong/syntax.h"

namespace everlong::app {

struct InspectOptions {
  std::string path;
  bool json = false;
};

Syntax declare_inspect(Syntax& program, InspectOptions& options);

/// Errors   FormatError where the file contradicts its format; InvalidArgument where no known format fits
int run_inspect(const InspectOptions& options);

}  // namespace everlong::app
