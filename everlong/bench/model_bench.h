#pragma once
// How fast a model reads, writes and learns.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include "everlong/bench/measurement.h"
#include "everlong/bench/model_phase.h"
#include "everlong/models/heads/task_head.h"

namespace everlong::bench {

struct ModelBenchOptions {
  int64_t batch_size = 1;
  int64_t seq_len = 2048;
  int64_t decode_tokens = 32;  ///< in one timed call, after a prefix of seq_len tokens
  int64_t repeat = 10;
  at::ScalarType dtype = at::kFloat;  ///< of the computation
  at::Device device = at::kCPU;
  bool activation_checkpointing = false;
  ModelPhase only = ModelPhase::all;
  double labelled = 0.15;     ///< share of places that a masked language model is asked about
};

/// Builds the model of a preset ("mega-small") with fresh parameters: a causal language model where the architecture is causal, else a masked one.
/// `overrides` are "key=value" of its configuration.
/// Errors   Unsupported if there is no such preset, naming those that there are and `also`; InvalidArgument for an override that does not fit
[[nodiscard]] std::shared_ptr<models::TaskHead> model_of_preset(const std::string& name, const std::vector<std::string>& overrides,
                                                                const std::string& also);

/// Times on random tokens. A causal language model: "prefill" (a whole sequence, with its state), "decode" (token by token after it) and "train
/// step" (forward, backward, clipping, AdamW); a masked one: "forward" (scores of every place) and "train step". `only` keeps one phase,
/// and encode is the one for any other model: "encode" (hidden states of whole sequences, nothing carried, no gradient). Rates "tokens_per_s", "ms_per_token" at the median, and
/// "peak_memory_bytes" of the process (CPU memory).
/// State    the model's parameters are trained on noise, except with `only` encode or infer: not for use afterwards
/// Errors   InvalidArgument if a size is below 1; Unsupported for another task unless `only` is encode; as the model's forward
[[nodiscard]] std::vector<Measurement> bench_model(const std::string& target, models::TaskHead& model, const ModelBenchOptions& options);

}  // namespace everlong::bench
