#include "apps/everlong/compute/runs.h"
#include "apps/everlong/guard.h"
#include "everlong/base/log.h"

namespace everlong::app {
namespace {

/// A function of the table from a function that may throw.
template <auto run, class Options>
int entry(const Options& options) {
  return guarded([&] { return run(options); });
}

/// Program and module each have their own copy of the rooms they link, and so of the log level.
void configure(const GlobalOptions& globals) {
  set_log_level(globals.quiet ? LogLevel::quiet : globals.verbose ? LogLevel::verbose : LogLevel::normal);
  guarded([&] {
    configure_torch(globals);
    return kSuccess;
  });
}

int probe(std::vector<Fact>& facts) {
  return guarded([&] {
    probe_torch(facts);
    return kSuccess;
  });
}

}  // namespace
}  // namespace everlong::app

/// The one symbol of the module.
extern "C" __attribute__((visibility("default"))) const void* everlong_compute_table() {
  using namespace everlong::app;
  static const ComputeTable table{.build = build_identity(),
                                  .configure = configure,
                                  .run_train = entry<run_train, TrainOptions>,
                                  .run_eval = entry<run_eval, EvalOptions>,
                                  .run_generate = entry<run_generate, GenerateOptions>,
                                  .run_fill_mask = entry<run_fill_mask, FillMaskOptions>,
                                  .run_predict = entry<run_predict, PredictOptions>,
                                  .run_embed = entry<run_embed, EmbedOptions>,
                                  .run_data_pack = entry<run_data_pack, DataOptions>,
                                  .run_state_diff = entry<run_state_diff, StateOptions>,
                                  .run_convert = entry<run_convert, ConvertOptions>,
                                  .run_verify = entry<run_verify, VerifyOptions>,
                                  .run_bench = entry<run_bench, BenchOptions>,
                                  .probe = probe};
  return &table;
}
