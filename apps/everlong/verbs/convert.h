#pragma once
// everlong convert: options and their declaration.

#include <optional>
#include <string>

#include "apps/everlong/syntax.h"

namespace everlong::app {

/// Names of tensors in the file that is written.
enum class Dialect { hf };

struct ConvertOptions {
  std::string source;
  std::string destination;
  Dialect to = Dialect::hf;
  std::optional<Dtype> dtype;  ///< storage; none = as in the source
  bool json = false;
};

Syntax declare_convert(Syntax& program, ConvertOptions& options);

}  // namespace everlong::app
