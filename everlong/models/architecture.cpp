#include "everlong/models/architecture.h"

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

#include "everlong/base/error.h"

namespace everlong::models {

std::string ArchitectureConfig::fingerprint() const {
  const auto copy = clone();
  const std::string text = fmt::format("model_type={}\n{}", model_type(), copy->fields().canonical_text());
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return fmt::format("{:016x}", hash);
}

void ArchitectureConfig::become_decoder() {
  throw Unsupported({.where = std::string(model_type()), .expected = "an architecture that has encoders", .got = "one without"});
}

std::optional<AdoptedCheckpoint> ArchitectureConfig::adopt_original(const checkpoint::TrainingFile& /*original*/) { return std::nullopt; }

checkpoint::TensorMap ArchitectureConfig::join_shards(const std::vector<checkpoint::TensorFile>& shards) const {
  throw Unsupported(
      {.where = shards.front().path.string(), .expected = "weights in one piece", .got = fmt::format("{} parts of a split model", shards.size())});
}

OriginalCheckpoint ArchitectureConfig::original_checkpoint(Dialect dialect, Task /*task*/, const checkpoint::TensorMap& /*tensors*/) const {
  const auto* name = std::find_if(kDialectNames.begin(), kDialectNames.end(), [&](const auto& entry) { return entry.second == dialect; });
  throw Unsupported({.where = fmt::format("convert to {}", name->first),
                     .expected = "a model of the family that the dialect is of",
                     .got = std::string(model_type()),
                     .hint = "convert --to hf"});
}

}  // namespace everlong::models
