#pragma once
// What the computing verbs share: a model with its tokenizer, loaded as the options say.

#include <filesystem>
#include <memory>
#include <string>

#include "apps/everlong/options.h"
#include "everlong/models/heads/causal_lm.h"
#include "everlong/text/tokenizer.h"

namespace everlong::app {

struct LoadedLm {
  std::filesystem::path folder;  ///< the model directory itself, also where a run was named
  std::shared_ptr<models::CausalLm> model;
  std::shared_ptr<const text::Tokenizer> tokenizer;
};

/// Decoding keeps packed matrices beside the others: a token reads a quarter less, the matrices take three quarters more memory.
enum class LmUse : uint8_t { reading, decoding };

/// Loads a model directory, or the best checkpoint of a run, onto the device and into the compute dtype; says what a person should know on stderr.
/// Errors   as models::load_causal_lm, text::load_tokenizer; InvalidArgument if the tokenizer has more tokens than the model
[[nodiscard]] LoadedLm load_lm(const std::string& path, const ComputeOptions& options, LmUse use = LmUse::reading);

/// Refuses a folder whose tokenizer makes tokens that its model does not know. Errors  InvalidArgument
void require_vocabulary(const text::Tokenizer& tokenizer, const models::Model& model, const std::filesystem::path& folder);

/// Moves a model with its head to the device and has it compute in the dtype that the options name; fp64 holds for its parameters too.
/// Returns the dtype.
at::ScalarType place_model(models::TaskHead& model, const ComputeOptions& options);

[[nodiscard]] at::ScalarType torch_dtype(Dtype dtype);
[[nodiscard]] at::Device torch_device(Device device);

}  // namespace everlong::app
