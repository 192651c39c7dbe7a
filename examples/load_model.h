#pragma once
// A model and its tokenizer for an example: from disk, or a small one with random weights that needs nothing.

#include <memory>
#include <string>

#include "everlong/models/model_directory.h"
#include "everlong/models/registry.h"
#include "everlong/text/tokenizer.h"
#include "everlong/train/run_directory.h"

namespace examples {

struct ModelAndTokenizer {
  std::shared_ptr<everlong::models::CausalLm> model;
  std::shared_ptr<const everlong::text::Tokenizer> tokenizer;
};

/// Loads a model directory or the best checkpoint of a run; "tiny" builds the registry's tiny MEGA over bytes.
inline ModelAndTokenizer load_model(const std::string& path) {
  if (path != "tiny") {
    const auto folder = everlong::train::resolve_model_path(path);
    return {.model = everlong::models::load_causal_lm(folder).model, .tokenizer = everlong::text::load_tokenizer(folder)};
  }
  const auto config = everlong::models::find_architecture("mega").tiny_config();
  config->set_vocabulary(256);
  auto model = std::make_shared<everlong::models::CausalLm>(*config);
  model->eval();
  return {.model = std::move(model), .tokenizer = everlong::text::make_bytes_tokenizer()};
}

}  // namespace examples
