#include <cctype>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/everlong/compute/common.h"
#include "apps/everlong/compute/runs.h"
#include "apps/everlong/guard.h"
#include "apps/everlong/output.h"
#include "everlong/base/error.h"
#include "everlong/base/log.h"
#include "everlong/train/convert_model.h"

namespace everlong::app {
namespace {

using Json = nlohmann::ordered_json;

void print_json(const train::ConvertReport& report, const std::string& destination, const std::string& dialect) {
  Json renamed = Json::array();
  for (const auto& [from, to] : report.renamed) renamed.push_back({{"from", from}, {"to", to}});
  const Json object = {{"source", report.source.string()},
                       {"destination", destination},
                       {"dialect", dialect},
                       {"task", report.task},
                       {"files", report.files},
                       {"parameters", report.parameter_count},
                       {"tensors", report.num_tensors},
                       {"size_bytes", report.size_bytes},
                       {"loaded", report.loaded},
                       {"renamed", renamed},
                       {"missing", report.missing},
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
  print(fmt::format("loaded      {}\nrenamed     {}\nmissing     {}\nignored     {}\nunexpected  {}\n", report.loaded.size(), report.renamed.size(),
                    report.missing.size(), report.ignored.size(), report.unexpected.size()));
  for (const auto& [from, to] : report.renamed) print(fmt::format("renamed: {} to {}\n", printable(from), printable(to)));
  for (const std::string& name : report.missing) print(fmt::format("missing: {}\n", printable(name)));
  for (const std::string& name : report.ignored) print(fmt::format("ignored: {}\n", printable(name)));
  for (const std::string& name : report.unexpected) print(fmt::format("unexpected, left out: {}\n", printable(name)));
  for (const std::string& key : report.kept_keys) print(fmt::format("config.json: {} is not known and was kept\n", printable(key)));
  for (const std::string& name : report.copied) print(fmt::format("copied: {}\n", printable(name)));
}

/// "2GB" as Hugging Face counts: a GB is 10^9 bytes, a GiB 2^30. Empty = no limit.
int64_t shard_bytes(const std::string& text) {
  if (text.empty()) return 0;
  size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') ++digits;
  static const std::map<std::string, int64_t> kUnits{{"", 1},           {"B", 1},          {"KB", 1000},      {"MB", 1000000},
                                                     {"GB", 1000000000}, {"KIB", 1LL << 10}, {"MIB", 1LL << 20}, {"GIB", 1LL << 30}};
  std::string unit = text.substr(digits);
  for (char& c : unit) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  const auto factor = kUnits.find(unit);
  const bool sound = digits > 0 && digits <= 9 && factor != kUnits.end() && std::stoll(text.substr(0, digits)) > 0;
  if (!sound) throw InvalidArgument({.where = "--max-shard-size", .expected = "a number of bytes such as 2GB, 500MB or 1GiB", .got = text});
  return std::stoll(text.substr(0, digits)) * factor->second;
}

train::Dialect dialect_of(Dialect to) {
  switch (to) {
    case Dialect::hf:
      return train::Dialect::hf;
    case Dialect::fairseq:
      return train::Dialect::fairseq;
    case Dialect::consolidated:
      return train::Dialect::consolidated;
    case Dialect::megalodon_hf:
      return train::Dialect::megalodon_hf;
    case Dialect::megalodon_jax:
      return train::Dialect::megalodon_jax;
  }
  return train::Dialect::hf;
}

std::string name_of(train::Dialect dialect) {
  for (const auto& [name, named] : models::kDialectNames)
    if (named == dialect) return std::string(name);
  return {};
}

}  // namespace

int run_convert(const ConvertOptions& options) {
  train::ConvertOptions how;
  if (options.dtype) how.dtype = torch_dtype(*options.dtype);
  how.dialect = dialect_of(options.to);
  if (options.format == WeightForm::bin) how.format = checkpoint::WeightFormat::torch;
  if (options.task) how.task = models::task_named(*options.task);
  how.as_decoder = options.decoder;
  how.max_shard_bytes = shard_bytes(options.max_shard_size);
  const train::ConvertReport report = train::convert_model(options.source, options.destination, how);
  for (const std::string& note : report.notes) log_warning(note);
  if (options.json) {
    print_json(report, options.destination, name_of(how.dialect));
  } else {
    print_text(report, options.destination);
  }
  return kSuccess;
}

}  // namespace everlong::app
