#pragma once
// everlong convert: options and their declaration.

#include <optional>
#include <string>

#include "apps/everlong/syntax.h"

namespace everlong::app {

struct ConvertOptions {
  std::string source;
  std::string destination;
  std::string to;              ///< dialect of names; empty = the family's public one
  std::optional<Dtype> dtype;  ///< storage; none = as in the source
  bool json = false;
};

Syntax declare_convert(Syntax& program, ConvertOptions& options);

}  // namespace everlong::app
