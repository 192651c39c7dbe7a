#pragma once
// From scores to the next token.

#include <cstdint>
#include <span>
#include <vector>

#include "everlong/base/rng.h"

namespace everlong::generate {

struct SamplingOptions {
  double temperature = 1.0;         ///< 0 = always the best token
  int64_t top_k = 0;                ///< keep the k best; 0 = all
  double top_p = 1.0;               ///< keep the fewest best tokens with this much probability together
  double min_p = 0.0;               ///< keep tokens with at least this part of the best one's probability
  double repetition_penalty = 1.0;  ///< scores of tokens seen lately are divided (positive) or multiplied (negative) by it; 1 = off
  int64_t repetition_window = 256;  ///< how many tokens back "lately" reaches
};

/// Draws tokens from scores. The sequence of draws is a function of the seed alone.
/// Source   top-p: Holtzman et al., arXiv 1904.09751; repetition penalty: Keskar et al., arXiv 1909.05858; min-p: Nguyen et al., arXiv 2407.01082.
///          Order as in transformers: penalty, temperature, top-k, top-p, min-p.
class Sampler {
 public:
  /// Errors   InvalidArgument naming the option that is out of range
  Sampler(const SamplingOptions& options, uint64_t seed);

  /// Draws one token. `logits` is overwritten. Errors  InvalidArgument if no score is finite
  [[nodiscard]] int32_t draw(std::span<float> logits);

  /// Tells the sampler of a token in the context, drawn or given, for the repetition penalty.
  void observe(int32_t token);

 private:
  void penalize(std::span<float> logits) const;

  SamplingOptions options_;
  CounterRng rng_;
  std::vector<int32_t> recent_;
};

}  // namespace everlong::generate
