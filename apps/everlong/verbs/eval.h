#pragma once
// everlong eval: options and their declaration.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/everlong/syntax.h"
#include "apps/everlong/verbs/predict.h"

namespace everlong::app {

/// Whether a segment sees the state that the one before it left.
enum class EvalContext { carry, reset };

struct EvalOptions {
  std::string model;
  std::vector<std::string> files;
  EvalContext context = EvalContext::carry;
  std::optional<int64_t> segment;     ///< tokens a call; none = what the model says
  std::optional<int64_t> max_tokens;  ///< tokens a file; none = all
  bool by_position = false;
  std::string context_lengths;       ///< "0,1k,16k"; empty = the usual evaluation
  std::vector<std::string> history;  ///< texts before the evaluated one
  int64_t windows = 8;
  int64_t window_len = 512;
  std::string plot;                  ///< picture of the loss against the length of the history; empty = none
  std::optional<LabelledTask> task;  ///< none = the loss of a causal language model
  ExampleOptions examples;           ///< of a task
  double mask_ratio = 0.4;           ///< of the masked language model
  bool json = false;
  ComputeOptions compute;
};

Syntax declare_eval(Syntax& program, EvalOptions& options);

}  // namespace everlong::app
