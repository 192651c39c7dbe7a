#pragma once
// A carried state on disk: a safetensors file that knows whose it is.

#include <filesystem>
#include <map>
#include <string>

#include "everlong/models/architecture.h"
#include "everlong/nn/state.h"

namespace everlong::models {

/// Writes a state atomically, with the configuration, its fingerprint, the tokenizer's fingerprint and the schema version as metadata.
/// `next_token` is a token that was given and is yet to be read by the model; -1 = none.
void save_state(const std::filesystem::path& path, const nn::State& state, const nn::StateLayout& layout, const ArchitectureConfig& config,
                const std::string& tokenizer_fingerprint, int64_t next_token = -1);

struct LoadedState {
  nn::State state;
  int64_t next_token = -1;
};

/// Reads a state for a model.
/// Errors   IoError; FormatError if it is no state file; StateError naming the first configuration field that differs, or the tokenizer
[[nodiscard]] LoadedState load_state(const std::filesystem::path& path, const nn::StateLayout& layout, const ArchitectureConfig& config,
                                     const std::string& tokenizer_fingerprint);

}  // namespace everlong::models
