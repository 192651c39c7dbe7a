#pragma once
// A model directory written anew, in the family's public dialect.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <c10/core/ScalarType.h>

namespace everlong::train {

struct ConvertOptions {
  std::optional<at::ScalarType> dtype = {};  ///< of every floating-point tensor; none = each as in the source
};

/// What became of every tensor and key of the source.
struct ConvertReport {
  std::filesystem::path source;                              ///< the model directory, also where a run was named
  std::vector<std::string> loaded;                           ///< names in the source
  std::vector<std::pair<std::string, std::string>> renamed;  ///< of those, what has another name now
  std::vector<std::string> ignored;                          ///< known, without meaning
  std::vector<std::string> unexpected;                       ///< not known: left out
  std::vector<std::string> kept_keys;                        ///< of config.json: not known, kept
  std::vector<std::string> copied;                           ///< tokenizer and other small files
  std::vector<std::string> notes;
  int64_t num_tensors = 0;  ///< written
  int64_t parameter_count = 0;
  int64_t size_bytes = 0;  ///< of model.safetensors
};

/// Loads a model directory, or a run's best checkpoint, and writes config.json, model.safetensors in public names and copies of the tokenizer's
/// files into a new directory, which appears whole or not at all.
/// Errors   as models::load_causal_lm; StateError if `destination` exists and is not an empty folder; IoError
[[nodiscard]] ConvertReport convert_model(const std::filesystem::path& source, const std::filesystem::path& destination,
                                          const ConvertOptions& options = {});

}  // namespace everlong::train
