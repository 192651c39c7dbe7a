#pragma once
// What the kinds of golden cases have in common once everything is computed.

#include <functional>
#include <map>
#include <string>

#include <ATen/core/Tensor.h>

#include "everlong/verify/golden_case.h"

namespace everlong::verify {

using Tensors = std::map<std::string, at::Tensor>;

/// Bound on rel_rms where a person gives none.
[[nodiscard]] double default_tolerance(at::ScalarType dtype);

[[nodiscard]] bool all_ok(const std::vector<Item>& items);  ///< false for none

/// Compares what was computed, and names with a reason what was not. Tensors for which `is_input` says so are no results.
[[nodiscard]] CaseResult finish_case(const std::string& name, Tensors computed, const Tensors& expected, const VerifyOptions& options,
                                     const std::function<bool(const std::string&)>& is_input);

/// Runs a case of the kind that gives `tokens` and targets already shifted (`labels`): a causal language model of a release, with states under its
/// own names (Model::public_state), a stream continued from the middle, and AdamW steps with the settings of case.json. Errors   as verify_case
[[nodiscard]] CaseResult verify_released_case(const std::filesystem::path& folder, Tensors expected, const VerifyOptions& options);

}  // namespace everlong::verify
