#include "everlong/models/registry.h"

#include <algorithm>

#include "everlong/base/error.h"

namespace everlong::models {

#define EVERLONG_MODEL(folder, type)                          \
  namespace folder {                                          \
  std::unique_ptr<ArchitectureConfig> make_config();          \
  std::unique_ptr<ArchitectureConfig> tiny_config();          \
  const std::map<std::string, std::string>& presets();        \
  }
#include "everlong/models/models.def"
#undef EVERLONG_MODEL

const std::vector<Architecture>& architectures() {
  static const std::vector<Architecture> all = {
#define EVERLONG_MODEL(folder, type) {#folder, type, folder::make_config, folder::tiny_config, folder::presets},
#include "everlong/models/models.def"
#undef EVERLONG_MODEL
  };
  return all;
}

const Architecture& find_architecture(std::string_view name) {
  const auto& all = architectures();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Architecture& entry) { return entry.name == name || entry.model_type == name; });
  if (found != all.end()) return *found;
  std::string known;
  for (const Architecture& entry : all) known += (known.empty() ? "" : ", ") + std::string(entry.name);
  throw Unsupported({.where = "model", .expected = "one of the architectures " + known, .got = std::string(name)});
}

}  // namespace everlong::models
