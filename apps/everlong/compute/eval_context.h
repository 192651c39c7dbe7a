#pragma once
// everlong eval --context-lengths.

#include "apps/everlong/verbs/eval.h"

namespace everlong::app {

/// Prints, and draws if asked, the loss of the same tokens after histories of several lengths.
/// Errors   InvalidArgument if a length is no number; as train::evaluate_context
int run_eval_context(const EvalOptions& options);

}  // namespace everlong::app
