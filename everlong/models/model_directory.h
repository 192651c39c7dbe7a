#pragma once
// A model on disk: a folder with config.json and model.safetensors in the family's public dialect.

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <c10/core/ScalarType.h>

#include "everlong/checkpoint/config_document.h"
#include "everlong/checkpoint/load_module.h"
#include "everlong/models/heads/causal_lm.h"

namespace everlong::models {

/// A configuration read from a folder, with what it could not take.
struct LoadedConfig {
  std::unique_ptr<ArchitectureConfig> config;
  checkpoint::ConfigDocument document;
  std::vector<std::string> unknown_keys;
};

/// Reads config.json of a model directory.
/// Errors   IoError, FormatError; Unsupported if its model_type is not in the registry; InvalidArgument if values do not fit
[[nodiscard]] LoadedConfig load_config(const std::filesystem::path& folder);

struct LoadedModel {
  std::shared_ptr<CausalLm> model;
  checkpoint::ConfigDocument document;
  checkpoint::LoadReport report;
  std::map<std::string, at::ScalarType> stored_dtypes;  ///< of every tensor, by its name in the file
  std::vector<std::string> notes;  ///< what a person should know: unknown keys, tied weights that differ, missing biases
};

/// Loads a causal language model in evaluation mode. Parameters are fp32, or fp64 if `parameter_dtype` says so.
/// Errors   as load_config; FormatError if a tensor is missing or has another shape than the configuration says
[[nodiscard]] LoadedModel load_causal_lm(const std::filesystem::path& folder, at::ScalarType parameter_dtype = at::kFloat);

/// What a public model.safetensors holds: the model's tensors under public names, and the placeholders of its family.
[[nodiscard]] checkpoint::TensorMap public_weights(const CausalLm& model);

/// Writes config.json and model.safetensors into an existing folder, each atomically. `extra` keeps unknown configuration keys.
void save_causal_lm(const std::filesystem::path& folder, const CausalLm& model, const checkpoint::ConfigDocument& extra = {});

}  // namespace everlong::models
