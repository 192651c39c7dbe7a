#pragma once
// From a prompt to the best continuations: greedy, sampled, or with beams, for language models and encoder-decoder models.

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "everlong/generate/sampler.h"
#include "everlong/models/encoder_decoder.h"
#include "everlong/models/heads/causal_lm.h"

namespace everlong::generate {

/// When a row of a beam search has enough finished continuations.
enum class EarlyStopping {
  heuristic,  ///< no open beam, were it to end now, is better than the worst finished one
  first,      ///< as soon as there are num_beams finished ones
  never,      ///< no open beam can become better at any length
};

struct SearchOptions {
  int64_t num_beams = 1;
  int64_t num_results = 1;  ///< continuations a row, at most num_beams
  int64_t max_new_tokens = 128;
  double length_penalty = 1.0;  ///< beams are ranked by log-probability / length^penalty: > 0 favours long ones
  EarlyStopping early_stopping = EarlyStopping::heuristic;
  int64_t no_repeat_ngram_size = 0;                      ///< no n tokens in a row occur twice, the prompt's included; 0 = off
  double repetition_penalty = 1.0;                       ///< scores of tokens that occurred, in the prompt too; 1 = off
  std::optional<int64_t> end_token = {};                 ///< ends a continuation; none = only the length does
  std::optional<SamplingOptions> sampling = {};          ///< draws instead of taking the best; with one beam only
  uint64_t seed = 0;                                     ///< row r draws as row 0 of seed + r
  std::function<bool(int64_t num_tokens)> on_step = {};  ///< called after each token; false ends the search with what there is
};

/// One continuation.
struct Continuation {
  std::vector<int64_t> tokens;  ///< without prompt and end token
  double score = 0;             ///< log-probability (nats), end token included; with beams divided by length^length_penalty
  bool ended = false;           ///< by the end token
};

struct SearchResult {
  std::vector<std::vector<Continuation>> rows;  ///< a list for each row of the prompt, best first
  bool interrupted = false;
};

/// Continues each row of a prompt. Finished rows leave the batch, so they cost nothing; beams share and copy the state by State::select.
/// Shapes   prompt.tokens [B, T] with padding on the left or right by prompt.valid; prompt.memory for models with cross-attention
/// Cost     num_beams rows of state for each row of the prompt; for a model with encoder states those too
/// Errors   InvalidArgument for an option out of range; Unsupported if the model does not stream
/// Source   transformers 4.40.2, generate(): beams as BeamSearchScorer, early stopping included; penalties on scores with one beam and on
///          log-probabilities with several, as there. Exact, but candidates of probability zero are never taken.
[[nodiscard]] SearchResult search(models::CausalLm& model, const models::ModelInput& prompt, const SearchOptions& options);

/// Writes a target for each row of a source, from the start token of the pair. The end token of `options`, if none, is the pair's.
/// Shapes   source.tokens [B, S]
[[nodiscard]] SearchResult search(models::EncoderDecoder& model, const models::ModelInput& source, SearchOptions options);

/// Prompt and continuations as ids of one length: num_results rows for each row of the prompt, end tokens where they came, then padding.
/// Shapes   prompt [B, T] int64; returns [B * num_results, T + longest] int64
[[nodiscard]] at::Tensor padded_ids(const at::Tensor& prompt, const SearchResult& result, std::optional<int64_t> end_token, int64_t pad_token);

}  // namespace everlong::generate
