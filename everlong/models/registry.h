#pragma once
// Every architecture that this build knows, from the lines of models.def.

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/models/architecture.h"

namespace everlong::models {

/// One entry of the registry.
struct Architecture {
  std::string_view name;        ///< folder and namespace: "mega"
  std::string_view model_type;  ///< key in config.json
  std::unique_ptr<ArchitectureConfig> (*make_config)();
  std::unique_ptr<ArchitectureConfig> (*tiny_config)();  ///< a causal model of a few thousand parameters, for tests
  const std::map<std::string, std::string>& (*presets)();  ///< preset name -> overrides "key=value key=value"
};

[[nodiscard]] const std::vector<Architecture>& architectures();

/// Finds an architecture by its name or model_type.
/// Errors   Unsupported if there is none, with the names that exist
[[nodiscard]] const Architecture& find_architecture(std::string_view name);

}  // namespace everlong::models
