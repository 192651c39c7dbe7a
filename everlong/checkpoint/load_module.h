#pragma once
// Tensors of a file into the parameters and buffers of a module, and back, through a table of names.

#include <string>
#include <vector>

#include <torch/nn/module.h>

#include "everlong/checkpoint/name_table.h"
#include "everlong/checkpoint/tensor_file.h"

namespace everlong::checkpoint {

/// What happened to each tensor of a file. Names as in the file, `missing` as in the module.
struct LoadReport {
  std::vector<std::string> loaded;
  std::vector<std::string> ignored;  ///< known and without meaning here
  std::vector<std::string> unexpected;
  std::vector<std::string> missing;
};

/// Copies tensors into the module's parameters and buffers, converting dtypes. Nothing is copied if anything does not fit.
/// `base_prefix` ("mega.") is tried in front of names that no rule knows: files of a model without a head leave it out.
/// Errors   FormatError naming tensor and both shapes
LoadReport load_into(torch::nn::Module& module, const TensorMap& tensors, const std::vector<NameRule>& rules, const std::string& base_prefix,
                     const std::string& file_name);

/// The module's parameters and buffers under their public names.
[[nodiscard]] TensorMap public_tensors(const torch::nn::Module& module, const std::vector<NameRule>& rules);

/// Parameters and buffers under our own names.
[[nodiscard]] TensorMap own_tensors(const torch::nn::Module& module);

}  // namespace everlong::checkpoint
