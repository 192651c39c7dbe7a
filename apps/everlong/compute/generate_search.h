#pragma once
// The part of everlong generate that searches: with beams, or for the target of a source.

#include <optional>
#include <string>

#include "apps/everlong/verbs/generate.h"

namespace everlong::app {

/// A text given by itself or by its file, "-" being standard input; empty where neither is given. Errors  IoError
[[nodiscard]] std::string given_text(const std::optional<std::string>& text, const std::optional<std::string>& file);

/// Whether the model is an encoder-decoder pair, or several beams are wanted. Errors  as train::resolve_model_path
[[nodiscard]] bool wants_search(const GenerateOptions& options);

/// Errors   InvalidArgument for options that belong to another kind of model; as models::load_encoder_decoder, load_lm and generate::search
int run_search(const GenerateOptions& options);

}  // namespace everlong::app
