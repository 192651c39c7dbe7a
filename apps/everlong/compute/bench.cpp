#include <array>
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <ATen/Parallel.h>

#include "apps/everlong/compute/common.h"
#include "apps/everlong/compute/memory.h"
#include "apps/everlong/compute/runs.h"
#include "apps/everlong/guard.h"
#include "apps/everlong/output.h"
#include "everlong/base/log.h"
#include "everlong/bench/model_bench.h"
#include "everlong/bench/ops_bench.h"
#include "everlong/models/model_directory.h"
#include "everlong/train/run_directory.h"

namespace everlong::app {
namespace {

using bench::Measurement;
using Json = nlohmann::ordered_json;

struct Operation {
  std::string_view name;
  std::vector<Measurement> (*run)(const bench::OpBenchOptions&);
};
constexpr std::array<Operation, 7> kOperations{{{"ema", bench::bench_ema},
                                                {"complex-ema", bench::bench_complex_ema},
                                                {"attention", bench::bench_attention},
                                                {"cross-entropy", bench::bench_cross_entropy},
                                                {"linear", bench::bench_linear},
                                                {"timestep-norm", bench::bench_timestep_norm},
                                                {"roofs", bench::bench_roofs}}};

std::shared_ptr<models::TaskHead> model_named(const std::string& target, const BenchOptions& options) {
  if (!std::filesystem::exists(target)) {
    std::string names;
    for (const Operation& operation : kOperations) names += (names.empty() ? "" : ", ") + std::string(operation.name);
    return bench::model_of_preset(target, options.set, names);
  }
  auto loaded = models::load_head(train::resolve_model_path(target));
  for (const std::string& note : loaded.notes) log_warning(note);
  return std::move(loaded.model);
}

std::vector<Measurement> measure_model(const std::string& target, const BenchOptions& options) {
  const std::vector<Dtype> dtypes = options.compute.dtype ? std::vector{*options.compute.dtype} : std::vector{Dtype::f32, Dtype::bf16};
  std::vector<Measurement> all;
  for (const Dtype dtype : dtypes) {
    const auto model = model_named(target, options);
    bench::ModelBenchOptions how{.repeat = options.repeat,
                                 .dtype = torch_dtype(dtype),
                                 .device = torch_device(options.compute.device),
                                 .activation_checkpointing = options.activation_checkpointing,
                                 .only = options.only};
    how.batch_size = options.batch_size.value_or(how.batch_size);
    how.seq_len = options.seq_len.value_or(how.seq_len);
    how.decode_tokens = options.decode_tokens.value_or(how.decode_tokens);
    for (Measurement& one : bench::bench_model(target, *model, how)) all.push_back(std::move(one));
  }
  return all;
}

std::vector<Measurement> measure(const std::string& target, const BenchOptions& options) {
  bench::OpBenchOptions how{
      .batch_size = options.batch_size, .seq_len = options.seq_len, .repeat = options.repeat, .max_threads = std::min(2, at::get_num_threads())};
  if (options.compute.dtype) how.dtype = torch_dtype(*options.compute.dtype);
  for (const Operation& operation : kOperations)
    if (operation.name == target) return operation.run(how);
  return measure_model(target, options);
}

std::string rate_text(const std::string& name, double value) {
  if (name.ends_with("_bytes")) return human_bytes(static_cast<int64_t>(value));
  if (name == "of_peak") return fmt::format("{:.1f}%", 100 * value);
  if (name == "ms_per_token") return fmt::format("{:.3f}", value);
  return fmt::format("{:.1f}", value);
}

std::string table_of(const std::vector<Measurement>& rows) {
  const bool timed = rows.front().best_ms > 0;
  std::vector<Table::Column> columns{{.title = rows.front().target}, {.title = "dtype"}, {.title = "threads", .align = Align::right}};
  if (timed) columns.insert(columns.end(), {{.title = "best ms", .align = Align::right}, {.title = "median ms", .align = Align::right}});
  for (const auto& rate : rows.front().rates) {
    std::string title = rate.first.ends_with("_bytes") ? rate.first.substr(0, rate.first.size() - 6) : rate.first;
    std::replace(title.begin(), title.end(), '_', ' ');
    columns.push_back({.title = title, .align = Align::right});
  }
  Table table(columns);
  for (const Measurement& row : rows) {
    std::vector<std::string> cells{row.what, row.dtype, fmt::format("{}", row.num_threads)};
    if (timed) cells.insert(cells.end(), {fmt::format("{:.2f}", row.best_ms), fmt::format("{:.2f}", row.median_ms)});
    for (const auto& [name, value] : row.rates) cells.push_back(rate_text(name, value));
    table.add_row(std::move(cells));
  }
  return table.text();
}

Json as_json(const Measurement& row) {
  Json object = {{"target", row.target}, {"what", row.what}, {"dtype", row.dtype}, {"threads", row.num_threads}};
  if (row.best_ms > 0) object.update({{"best_ms", row.best_ms}, {"median_ms", row.median_ms}});
  for (const auto& [name, value] : row.rates) object[name] = name.ends_with("_bytes") ? Json(static_cast<int64_t>(value)) : Json(value);
  return object;
}

}  // namespace

int run_bench(const BenchOptions& options) {
  keep_memory();
  Json all = Json::array();
  bool first = true;
  for (const std::string& target : options.targets) {
    const std::vector<Measurement> rows = measure(target, options);
    if (options.json) {
      for (const Measurement& row : rows) all.push_back(as_json(row));
    } else {
      print((first ? "" : "\n") + table_of(rows));
      flush_output();
    }
    first = false;
  }
  if (options.json) print(all.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  return kSuccess;
}

}  // namespace everlong::app
