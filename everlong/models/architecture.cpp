#include "everlong/models/architecture.h"

#include <cstdint>

#include <fmt/format.h>

namespace everlong::models {

std::string ArchitectureConfig::fingerprint() const {
  const auto copy = clone();
  const std::string text = fmt::format("model_type={}\n{}", model_type(), copy->fields().canonical_text());
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return fmt::format("{:016x}", hash);
}

}  // namespace everlong::models
