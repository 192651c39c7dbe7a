#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/everlong/compute/common.h"
#include "apps/everlong/compute/runs.h"
#include "apps/everlong/guard.h"
#include "apps/everlong/output.h"
#include "everlong/base/log.h"
#include "everlong/train/convert_model.h"

namespace everlong::app {
namespace {

using Json = nlohmann::ordered_json;

void print_json(const train::ConvertReport& report, const std::string& destination) {
  Json renamed = Json::array();
  for (const auto& [from, to] : report.renamed) renamed.push_back({{"from", from}, {"to", to}});
  const Json object = {{"source", report.source.string()},
                       {"destination", destination},
                       {"dialect", "hf"},
                       {"parameters", report.parameter_count},
                       {"tensors", report.num_tensors},
                       {"size_bytes", report.size_bytes},
                       {"loaded", report.loaded},
                       {"renamed", renamed},
                       {"ignored", report.ignored},
                       {"unexpected", report.unexpected},
                       {"kept_keys", report.kept_keys},
                       {"copied", report.copied},
                       {"notes", report.notes}};
  print(object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

void print_text(const train::ConvertReport& report, const std::string& destination) {
  print(fmt::format("{}: {} tensors, {} parameters, {}\n", destination, report.num_tensors, human_count(static_cast<double>(report.parameter_count)),
                    human_bytes(report.size_bytes)));
  print(fmt::format("loaded      {}\nrenamed     {}\nignored     {}\nunexpected  {}\n", report.loaded.size(), report.renamed.size(),
                    report.ignored.size(), report.unexpected.size()));
  for (const auto& [from, to] : report.renamed) print(fmt::format("renamed: {} to {}\n", printable(from), printable(to)));
  for (const std::string& name : report.ignored) print(fmt::format("ignored: {}\n", printable(name)));
  for (const std::string& name : report.unexpected) print(fmt::format("unexpected, left out: {}\n", printable(name)));
  for (const std::string& key : report.kept_keys) print(fmt::format("config.json: {} is not known and was kept\n", printable(key)));
  for (const std::string& name : report.copied) print(fmt::format("copied: {}\n", printable(name)));
}

}  // namespace

int run_convert(const ConvertOptions& options) {
  train::ConvertOptions how;
  if (options.dtype) how.dtype = torch_dtype(*options.dtype);
  const train::ConvertReport report = train::convert_model(options.source, options.destination, how);
  for (const std::string& note : report.notes) log_warning(note);
  if (options.json) {
    print_json(report, options.destination);
  } else {
    print_text(report, options.destination);
  }
  return kSuccess;
}

}  // namespace everlong::app
