#pragma once
// A model directory written anew, in the family's public dialect.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <c10/core/ScalarType.h>

#include "everlong/checkpoint/tensor_file.h"
#include "everlong/models/architecture.h"

namespace everlong::train {

using models::Dialect;

struct ConvertOptions {
  std::optional<at::ScalarType> dtype = {};  ///< of every floating-point tensor; none = each as in the source
  Dialect dialect = Dialect::hf;
  checkpoint::WeightFormat format = checkpoint::WeightFormat::safetensors;  ///< of a folder for Hugging Face code
  int64_t max_shard_bytes = 0;                                              ///< of a folder for Hugging Face code; 0 = one file
  std::optional<models::Task> task = {};                                    ///< head to write; none = the source's
  bool as_decoder = false;                                                  ///< an encoder's weights in a decoder
};

/// What became of every tensor and key of the source.
struct ConvertReport {
  std::filesystem::path source;                              ///< the model directory, also where a run was named
  std::vector<std::string> loaded;                           ///< names in the source
  std::vector<std::pair<std::string, std::string>> renamed;  ///< of those, what has another name now
  std::vector<std::string> ignored;                          ///< known, without meaning
  std::vector<std::string> missing;                          ///< not in the source: our names, freshly initialised or zero
  std::vector<std::string> unexpected;                       ///< not known: left out
  std::vector<std::string> kept_keys;                        ///< of config.json: not known, kept
  std::vector<std::string> copied;                           ///< tokenizer and other small files
  std::vector<std::string> notes;
  int64_t num_tensors = 0;  ///< written
  int64_t parameter_count = 0;
  int64_t size_bytes = 0;          ///< of the files of weights
  std::string task;                ///< of the head, as --task names it
  std::vector<std::string> files;  ///< of weights, an index last
};

/// Loads a model directory, a run's best checkpoint or a file of other code for the architecture (.pt, .safetensors), with its head, and writes it
/// anew. A folder gets its configuration, weights and copies of the tokenizer's files. What is written appears whole or not at all.
/// Errors   as models::load_head; StateError if `destination` exists and is not an empty folder; InvalidArgument if a file for megalodon-jax is not
///          named .safetensors; Unsupported if the dialect cannot hold the model; IoError
[[nodiscard]] ConvertReport convert_model(const std::filesystem::path& source, const std::filesystem::path& destination,
                                          const ConvertOptions& options = {});

}  // namespace everlong::train
