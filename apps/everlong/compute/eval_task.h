#pragma once
// everlong eval --task.

#include "apps/everlong/verbs/eval.h"

namespace everlong::app {

/// Prints the scores of a task on labelled files, or of a masked language model on texts.
int run_eval_task(const EvalOptions& options);

}  // namespace everlong::app
