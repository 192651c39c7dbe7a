#pragma once
// What the compute module offers to the program: one C symbol, one table of functions.

#include <vector>

#include "apps/everlong/options.h"
#include "apps/everlong/output.h"
#include "apps/everlong/verbs/bench.h"
#include "apps/everlong/verbs/convert.h"
#include "apps/everlong/verbs/data.h"
#include "apps/everlong/verbs/embed.h"
#include "apps/everlong/verbs/eval.h"
#include "apps/everlong/verbs/fill_mask.h"
#include "apps/everlong/verbs/generate.h"
#include "apps/everlong/verbs/predict.h"
#include "apps/everlong/verbs/state.h"
#include "apps/everlong/verbs/train.h"
#include "apps/everlong/verbs/verify.h"

namespace everlong::app {

/// Every function returns an exit status and lets no exception out.
/// Only `build` may be read before it has been compared: the rest has the layout of that build.
struct ComputeTable {
  const char* build;
  void (*configure)(const GlobalOptions&);  ///< log level and threads; called once, before anything else
  int (*run_train)(const TrainOptions&);
  int (*run_eval)(const EvalOptions&);
  int (*run_generate)(const GenerateOptions&);
  int (*run_fill_mask)(const FillMaskOptions&);
  int (*run_predict)(const PredictOptions&);
  int (*run_embed)(const EmbedOptions&);
  int (*run_data_pack)(const DataOptions&);
  int (*run_state_diff)(const StateOptions&);
  int (*run_convert)(const ConvertOptions&);
  int (*run_verify)(const VerifyOptions&);
  int (*run_bench)(const BenchOptions&);
  int (*probe)(std::vector<Fact>&);  ///< appends what `everlong doctor` says about torch
};

inline constexpr const char* kComputeModule = "libeverlong_compute.so";
inline constexpr const char* kComputeSymbol = "everlong_compute_table";
/// The type of that symbol. It names no type of ours, so that a module of any build may be called.
using ComputeTableFunction = const void* (*)();

/// Version, compiler and a digest of all headers that program and module share: equal exactly where both understand the same table.
[[nodiscard]] const char* build_identity();

}  // namespace everlong::app
