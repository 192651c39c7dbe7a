#pragma once
// A model on disk: a folder with config.json and model.safetensors in the family's public dialect.

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
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
  TaskConfig task_config;
  checkpoint::ConfigDocument document;
  std::vector<std::string> unknown_keys;

  /// The task whose class the folder was saved from; the architecture's default where it names none.
  [[nodiscard]] Task saved_task() const;
};

/// Reads a config.json; a released one without "model_type" is known by the keys that only its architecture has.
/// Errors   IoError; FormatError if it is not a JSON object, or nothing says what it is of
[[nodiscard]] checkpoint::ConfigDocument read_config_document(const std::filesystem::path& path);

/// Reads config.json of a model directory.
/// Errors   IoError, FormatError; Unsupported if its model_type is not in the registry; InvalidArgument if values do not fit
[[nodiscard]] LoadedConfig load_config(const std::filesystem::path& folder);

/// load_config() of a document that was read, or that is part of another. Errors  as load_config, but IoError
[[nodiscard]] LoadedConfig config_from(checkpoint::ConfigDocument document);

template <class Head>
struct Loaded {
  std::shared_ptr<Head> model;
  checkpoint::ConfigDocument document;
  checkpoint::LoadReport report;
  std::map<std::string, at::ScalarType> stored_dtypes;  ///< of every tensor, by its name in the file
  std::vector<std::string> notes;  ///< what a person should know: tied weights that differ, missing biases, parts that start afresh
  std::vector<Renaming> renamed;   ///< tensors that had another name in the file than public files of this task have
};
using LoadedHead = Loaded<TaskHead>;
using LoadedModel = Loaded<CausalLm>;

struct LoadOptions {
  std::optional<Task> task = {};                ///< none = the task that the folder was saved for
  std::optional<TaskConfig> task_config = {};   ///< none = that of config.json
  at::ScalarType parameter_dtype = at::kFloat;  ///< or fp64
  std::string may_start_fresh = {};             ///< parameters of the model with this in their own name may be missing too; empty = none
  bool as_decoder = false;                      ///< an encoder's weights in a decoder
};

/// Loads a model and the head of a task in evaluation mode, from a model directory or from a checkpoint file (.pt) of the original training code of
/// an architecture. A language model's head serves the other kind of language model. Head tensors that the folder does not have keep their fresh
/// values, and a note says so. Errors   as load_config; FormatError if a tensor of the model itself is missing, or one has another shape than the
/// configuration says
[[nodiscard]] LoadedHead load_head(const std::filesystem::path& folder, const LoadOptions& options = {});

/// load_head() from a configuration and tensors that were read; `file` is what errors name. Errors  as load_head, but IoError
[[nodiscard]] LoadedHead head_from(LoadedConfig config, checkpoint::TensorMap tensors, const std::string& file, const LoadOptions& options = {});

/// load_head() for the task of causal language modelling.
[[nodiscard]] LoadedModel load_causal_lm(const std::filesystem::path& folder, at::ScalarType parameter_dtype = at::kFloat);

/// What a public model.safetensors holds: the model's tensors under public names, and the placeholders of its family.
[[nodiscard]] checkpoint::TensorMap public_weights(const TaskHead& model);

/// What config.json of a model says. `extra` keeps unknown configuration keys.
[[nodiscard]] checkpoint::ConfigDocument public_config(const TaskHead& model, const checkpoint::ConfigDocument& extra = {});

/// Writes config.json into an existing folder, atomically. `extra` keeps unknown configuration keys.
void save_config(const std::filesystem::path& folder, const TaskHead& model, const checkpoint::ConfigDocument& extra = {});

/// Writes config.json and model.safetensors into an existing folder, each atomically. `extra` keeps unknown configuration keys.
void save_model(const std::filesystem::path& folder, const TaskHead& model, const checkpoint::ConfigDocument& extra = {});

}  // namespace everlong::models
