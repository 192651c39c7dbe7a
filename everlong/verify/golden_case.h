#pragma once
// Runs a golden case: a tiny model with everything that its authors' own code computed for it.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace everlong::verify {

struct VerifyOptions {
  at::ScalarType dtype = at::kDouble;
  std::optional<double> tolerance = {};  ///< on rel_rms; none = that of the dtype: fp64 1e-9, fp32 1e-5, bf16 3e-2 (logits and loss only)
};

/// One expected tensor against what was computed.
/// Math     max_abs = max |x - e|;  rel_rms = rms(x - e) / (rms(e) + 1e-3 R), R = the largest rms among expected tensors of the same kind
struct Item {
  std::string name;
  double max_abs = 0;
  double rel_rms = 0;
  double tolerance = 0;
  bool ok = false;
};

/// An expected tensor that was not compared, with the reason.
struct NotCovered {
  std::string name;
  std::string reason;
};

struct CaseResult {
  std::string name;
  bool ok = false;
  std::vector<Item> items;
  std::vector<NotCovered> not_covered;
  std::map<std::string, at::Tensor> computed;  ///< under the names of expected.safetensors
};

/// The name of a case: that of its folder, however the path is written.
[[nodiscard]] std::string case_name(const std::filesystem::path& folder);

/// Runs one case folder: config.json, model.safetensors, expected.safetensors, case.json. Inputs are named as Hugging Face's (`in.input_ids`), or as
/// those of a release (`tokens`). Errors   IoError, FormatError; Unsupported if the case needs a head or an architecture that is not there
[[nodiscard]] CaseResult verify_case(const std::filesystem::path& folder, const VerifyOptions& options = {});

/// Compares what was computed with what was expected. A tensor with a NaN or another shape is not ok.
[[nodiscard]] std::vector<Item> compare(const std::map<std::string, at::Tensor>& computed, const std::map<std::string, at::Tensor>& expected,
                                        double tolerance);

}  // namespace everlong::verify
