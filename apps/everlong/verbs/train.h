#pragma once
// everlong train: options and their declaration.

#include <string>
#include <vector>

#include "apps/everlong/syntax.h"

namespace everlong::app {

struct TrainOptions {
  std::string config;
  std::vector<std::string> set;  ///< "dotted.key=value"
  std::string out;               ///< run directory; empty = runs/ and the name of the configuration, or the run that `config` belongs to
  bool resume = false;
  bool dry_run = false;
  bool json = false;
  ComputeOptions compute;
};

Syntax declare_train(Syntax& program, TrainOptions& options);

}  // namespace everlong::app
