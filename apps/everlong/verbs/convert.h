#pragma once
// everlong convert: options and their declaration.

#include <optional>
#include <string>

#include "apps/everlong/syntax.h"

namespace everlong::app {

/// Who is to read what is written.
enum class Dialect { hf, fairseq, consolidated, megalodon_hf, megalodon_jax };
/// Form of the weights in a model directory.
enum class WeightForm { safetensors, bin };

struct ConvertOptions {
  std::string source;
  std::string destination;
  Dialect to = Dialect::hf;
  std::optional<Dtype> dtype;  ///< storage; none = as in the source
  WeightForm format = WeightForm::safetensors;
  std::string max_shard_size;       ///< "2GB"; empty = one file
  std::optional<std::string> task;  ///< none = the source's
  bool decoder = false;
  bool json = false;
};

Syntax declare_convert(Syntax& program, ConvertOptions& options);

}  // namespace everlong::app
