#pragma once

#include <cstdint>

#include "everlong/train/config.h"

namespace everlong::train {

/// What training will need, before a tensor is allocated.
struct TrainPlan {
  int64_t parameters = 0;
  int64_t tokens_per_step = 0;
  int64_t parameter_bytes = 0;
  int64_t gradient_bytes = 0;
  int64_t optimizer_bytes = 0;
  int64_t state_bytes = 0;
  int64_t activation_bytes = 0;  ///< estimate
  [[nodiscard]] int64_t total_bytes() const { return parameter_bytes + gradient_bytes + optimizer_bytes + state_bytes + activation_bytes; }
};
/// Plans a run. Of a task tokens_per_step is the most that examples of data.max_len can have.
/// State    changes `config` as make_objective() does: vocabulary, special tokens
/// Cost     reads tokenizer files, and for a task with labels those of all files
/// Errors   as the readers of tokenizers and labels
[[nodiscard]] TrainPlan plan_training(TrainConfig& config);

}  // namespace everlong::train
