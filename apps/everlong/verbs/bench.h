#pragma once
// everlong bench: options and their declaration.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/everlong/syntax.h"
#include "everlong/bench/model_phase.h"

namespace everlong::app {

struct BenchOptions {
  std::vector<std::string> targets;  ///< names of operations or presets, model directories, runs
  std::optional<int64_t> batch_size;
  std::optional<int64_t> seq_len;
  std::optional<int64_t> decode_tokens;
  std::vector<std::string> set;  ///< "key=value" for presets
  bool activation_checkpointing = false;
  bench::ModelPhase only = bench::ModelPhase::all;
  int64_t repeat = 10;
  bool json = false;
  ComputeOptions compute;
};

Syntax declare_bench(Syntax& program, BenchOptions& options);

}  // namespace everlong::app
