#pragma once
// A carried state on disk: a safetensors file that knows whose it is.

#include <filesystem>
#include <map>
#include <string>

#include "everlong/models/architecture.h"
#include "everlong/nn/state.h"

namespace everlong::models {

/// Writes a state atomically, with the configuration, its fingerprint, the tokenizer's fingerprint and the schema version as metadata.
void save_state(const std::filesystem::path& path, const nn::State& state, const nn::StateLayout& layout, const ArchitectureConfig& config,
                const std::string& tokenizer_fingerprint);

/// Reads a state for a model.
/// Errors   IoError; FormatError if it is no state file; StateError naming the first configuration field that differs, or the tokenizer
[[nodiscard]] nn::State load_state(const std::filesystem::path& path, const nn::StateLayout& layout, const ArchitectureConfig& config,
                                   const std::string& tokenizer_fingerprint);

}  // namespace everlong::models
