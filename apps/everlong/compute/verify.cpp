#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/everlong/compute/common.h"
#include "apps/everlong/compute/runs.h"
#include "apps/everlong/guard.h"
#include "apps/everlong/output.h"
#include "everlong/base/error.h"
#include "everlong/base/log.h"
#include "everlong/checkpoint/tensor_file.h"
#include "everlong/io/json.h"
#include "everlong/verify/golden_case.h"

namespace everlong::app {
namespace {

using Json = nlohmann::ordered_json;

Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json as_json(const std::string& path, const verify::CaseResult& result) {
  Json items = Json::array(), left = Json::array();
  for (const verify::Item& item : result.items)
    items.push_back({{"name", item.name}, {"max_abs", number_or_null(item.max_abs)}, {"rel_rms", number_or_null(item.rel_rms)}, {"tolerance", item.tolerance}, {"ok", item.ok}});
  for (const verify::NotCovered& item : result.not_covered) left.push_back({{"name", item.name}, {"reason", item.reason}});
  return {{"case", result.name}, {"path", path}, {"ok", result.ok}, {"items", items}, {"not_covered", left}};
}

void print_case(const verify::CaseResult& result) {
  print(fmt::format("{} {}\n", result.ok ? "ok    " : "FAILED", result.name));
  Table table({{.title = "item"},
               {.title = "max abs error", .align = Align::right},
               {.title = "relative RMS", .align = Align::right},
               {.title = "tolerance", .align = Align::right},
               {.title = "ok"}});
  for (const verify::Item& item : result.items)
    table.add_row({item.name, fmt::format("{:.2e}", item.max_abs), fmt::format("{:.2e}", item.rel_rms), fmt::format("{:.0e}", item.tolerance), item.ok ? "yes" : "NO"});
  print(table.text());
  for (const verify::NotCovered& item : result.not_covered) print(fmt::format("not covered: {} ({})\n", item.name, item.reason));
  print("\n");
}

/// The folders among the paths: a shell's `golden/*` also names the README beside them.
std::vector<std::string> folders_of(const std::vector<std::string>& paths) {
  std::vector<std::string> folders;
  for (const std::string& path : paths) {
    if (paths.size() > 1 && std::filesystem::is_regular_file(path)) {
      log_warning(fmt::format("{}: a file, not the folder of a case; left out", path));
    } else {
      folders.push_back(path);
    }
  }
  require(!folders.empty(), [] { return Complaint{.where = "verify", .expected = "folders of cases", .got = "files only"}; });
  return folders;
}

}  // namespace

int run_verify(const VerifyOptions& options) {
  const std::vector<std::string> cases = folders_of(options.cases);
  require(options.dump.empty() || cases.size() == 1, [&] {
    return Complaint{.where = "--dump", .expected = "one case", .got = fmt::format("{} cases", cases.size())};
  });
  const verify::VerifyOptions how{.dtype = torch_dtype(options.compute.dtype.value_or(Dtype::f64)), .tolerance = options.tolerance};
  for (const std::string& path : cases) (void)io::read_json_file(std::filesystem::path(path) / "case.json");  // all are there before one runs
  Json all = Json::array();
  size_t passed = 0;
  for (const std::string& path : cases) {
    verify::CaseResult result;
    try {
      result = verify::verify_case(path, how);
    } catch (const Error& error) {  // the others still run
      log_warning(error.what());
      all.push_back({{"case", verify::case_name(path)}, {"path", path}, {"ok", false}, {"error", error.what()}, {"items", Json::array()}});
      continue;
    }
    passed += result.ok ? 1 : 0;
    if (options.json) {
      all.push_back(as_json(path, result));
    } else {
      print_case(result);
    }
    if (!options.dump.empty()) checkpoint::save_tensors(options.dump, result.computed);
  }
  if (options.json) print(all.dump() + "\n");
  log_info(fmt::format("{} of {} cases ok", passed, cases.size()));
  return passed == cases.size() ? kSuccess : kFailure;
}

}  // namespace everlong::app
