#pragma once
// The verbs that compute, as plain functions: they may throw; the table's functions do not.

#include <vector>

#include "apps/everlong/compute/table.h"

namespace everlong::app {

int run_train(const TrainOptions& options);
int run_eval(const EvalOptions& options);
int run_generate(const GenerateOptions& options);
int run_fill_mask(const FillMaskOptions& options);
int run_predict(const PredictOptions& options);
int run_embed(const EmbedOptions& options);
int run_data_pack(const DataOptions& options);
int run_state_diff(const StateOptions& options);
int run_convert(const ConvertOptions& options);
int run_verify(const VerifyOptions& options);
int run_bench(const BenchOptions& options);

/// Sets the number of threads of torch's pool.
void configure_torch(const GlobalOptions& globals);
/// Appends what torch says about itself and the devices it can use.
void probe_torch(std::vector<Fact>& facts);

}  // namespace everlong::app
