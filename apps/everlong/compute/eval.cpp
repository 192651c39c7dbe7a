#include "everlong/train/evaluate.h"

#include <cmath>
#include <numbers>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/everlong/compute/common.h"
#include "apps/everlong/compute/eval_context.h"
#include "apps/everlong/compute/eval_task.h"
#include "apps/everlong/compute/memory.h"
#include "apps/everlong/compute/runs.h"
#include "apps/everlong/guard.h"
#include "apps/everlong/output.h"
#include "apps/everlong/progress.h"
#include "everlong/base/environment.h"
#include "everlong/base/error.h"

namespace everlong::app {
namespace {

nlohmann::ordered_json as_json(const train::Evaluation& evaluation, bool by_position) {
  nlohmann::ordered_json object = {{"file", evaluation.file},
                                   {"tokens", evaluation.tokens},
                                   {"bytes", evaluation.bytes},
                                   {"nats_per_token", evaluation.nats_per_token()},
                                   {"perplexity", evaluation.perplexity()},
                                   {"bits_per_byte", evaluation.bits_per_byte()}};
  if (!by_position) return object;
  object["by_position"] = nlohmann::ordered_json::array();
  for (const train::PositionLoss& bucket : evaluation.by_position)
    object["by_position"].push_back({{"begin", bucket.begin},
                                     {"end", bucket.end},
                                     {"tokens", bucket.tokens},
                                     {"nats_per_token", bucket.nats / static_cast<double>(bucket.tokens)}});
  return object;
}

train::Evaluation total_of(const std::vector<train::Evaluation>& all) {
  train::Evaluation total{.file = "total"};
  for (const train::Evaluation& one : all) {
    total.tokens += one.tokens;
    total.bytes += one.bytes;
    total.nats += one.nats;
  }
  return total;
}

void print_table(const std::vector<train::Evaluation>& all, bool by_position) {
  Table table({{.title = "file"},
               {.title = "tokens", .align = Align::right},
               {.title = "bytes", .align = Align::right},
               {.title = "nats/token", .align = Align::right},
               {.title = "ppl", .align = Align::right},
               {.title = "bits/byte", .align = Align::right}});
  for (const train::Evaluation& one : all)
    table.add_row({one.file, fmt::format("{}", one.tokens), fmt::format("{}", one.bytes), fmt::format("{:.4f}", one.nats_per_token()),
                   fmt::format("{:.3f}", one.perplexity()), fmt::format("{:.4f}", one.bits_per_byte())});
  print(table.text());
  if (!by_position) return;
  for (const train::Evaluation& one : all) {
    if (one.by_position.empty()) continue;
    Table positions({{.title = "tokens of " + one.file}, {.title = "count", .align = Align::right}, {.title = "nats/token", .align = Align::right}});
    for (const train::PositionLoss& bucket : one.by_position)
      positions.add_row({fmt::format("[{}, {})", bucket.begin, bucket.end), fmt::format("{}", bucket.tokens),
                         fmt::format("{:.4f}", bucket.nats / static_cast<double>(bucket.tokens))});
    print("\n" + positions.text());
  }
}

}  // namespace

int run_eval(const EvalOptions& options) {
  return_memory();
  if (options.task) return run_eval_task(options);
  if (!options.context_lengths.empty()) return run_eval_context(options);
  require(options.plot.empty() && options.history.empty(),
          [] { return Complaint{.where = "eval", .expected = "--context-lengths with --history or --plot", .got = "none"}; });
  const LoadedLm lm = load_lm(options.model, options.compute);
  Progress progress;
  train::EvaluateOptions evaluate{.context = options.context == EvalContext::carry ? train::Context::carry : train::Context::reset,
                                  .segment = options.segment.value_or(2048),
                                  .max_tokens = options.max_tokens};
  evaluate.progress = [&](int64_t tokens) { progress.update({.step = tokens, .memory_bytes = process_memory().resident_bytes}); };
  std::vector<train::Evaluation> all;
  for (const std::string& file : options.files) all.push_back(train::evaluate_file(*lm.model, *lm.tokenizer, file, evaluate));
  progress.clear();
  if (all.size() > 1) all.push_back(total_of(all));
  if (!options.json) {
    print_table(all, options.by_position);
    return kSuccess;
  }
  nlohmann::ordered_json object = {{"model", lm.folder.string()}, {"context", options.context == EvalContext::carry ? "carry" : "reset"}};
  object["total"] = as_json(total_of(options.files.size() > 1 ? std::vector(all.begin(), all.end() - 1) : all), false);
  object["files"] = nlohmann::ordered_json::array();
  for (size_t i = 0; i < options.files.size(); ++i) object["files"].push_back(as_json(all[i], options.by_position));
  const ProcessMemory memory = process_memory();
  object["peak_resident_bytes"] = memory.peak_resident_bytes;
  print(object.dump() + "\n");
  return kSuccess;
}

}  // namespace everlong::app
