#pragma once
// everlong data make listops|pathfinder: options, their declaration, and what runs. No torch.

#include <cstdint>
#include <functional>
#include <string>

#include "apps/everlong/syntax.h"
#include "everlong/data/lra/listops.h"
#include "everlong/data/lra/pathfinder.h"

namespace everlong::app {

enum class MadeData { listops, pathfinder };

struct DataMakeOptions {
  MadeData kind = MadeData::listops;
  std::string out;
  int64_t count = 0;
  int64_t seed = 0;   ///< of either kind
  int64_t first = 0;  ///< number of the first example: splits of one seed
  data::ListOpsOptions listops;
  data::PathfinderOptions pathfinder;
  bool json = false;
};

/// Declares `make` below the verb `data`; `chosen` is called when one of its verbs is.
void declare_data_make(Syntax& data, DataMakeOptions& options, const std::function<void()>& chosen);

/// Errors   InvalidArgument, IoError; Interrupted, and then nothing is left
int run_data_make(const DataMakeOptions& options);

}  // namespace everlong::app
