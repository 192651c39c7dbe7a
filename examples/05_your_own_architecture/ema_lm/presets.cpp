#include <map>
#include <memory>
#include <string>

#include "ema_lm/config.h"

namespace everlong::models::ema_lm {

std::unique_ptr<ArchitectureConfig> make_config() { return std::make_unique<Config>(); }

std::unique_ptr<ArchitectureConfig> tiny_config() {
  auto config = std::make_unique<Config>();
  config->vocab_size = 37;
  config->hidden_size = 20;
  config->ema_ndim = 4;
  return config;
}

const std::map<std::string, std::string>& presets() {
  static const std::map<std::string, std::string> all = {{"ema-small", "hidden_size=256 num_hidden_layers=6 ema_ndim=16"}};
  return all;
}

}  // namespace everlong::models::ema_lm
