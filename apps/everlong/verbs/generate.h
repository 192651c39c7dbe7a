#pragma once
// everlong generate: options and their declaration.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/everlong/syntax.h"

namespace everlong::app {

struct GenerateOptions {
  std::string model;
  std::optional<std::string> prompt;
  std::optional<std::string> prompt_file;  ///< "-" = standard input
  std::optional<std::string> source;       ///< encoder-decoder models: the text to read
  std::optional<std::string> source_file;  ///< "-" = standard input
  int64_t max_tokens = 256;
  int64_t num_beams = 1;
  double length_penalty = 1;
  int64_t no_repeat_ngram = 0;  ///< 0 = off
  double temperature = 1;  ///< 0 = always the likeliest token
  int64_t top_k = 0;       ///< 0 = all
  double top_p = 1;
  double min_p = 0;
  double repetition_penalty = 1;
  std::vector<std::string> stop;
  std::optional<int64_t> seed;
  bool chat = false;      ///< the prompt is a message, to be answered
  std::string state_in;   ///< empty = from the start
  std::string state_out;  ///< empty = not saved
  bool json = false;
  ComputeOptions compute;
};

Syntax declare_generate(Syntax& program, GenerateOptions& options);

}  // namespace everlong::app
