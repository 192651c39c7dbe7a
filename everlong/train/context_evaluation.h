#pragma once
// How much a language model gains from what came long before: the same tokens scored after histories of several lengths.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "everlong/models/heads/causal_lm.h"
#include "everlong/text/tokenizer.h"

namespace everlong::train {

struct ContextOptions {
  std::vector<int64_t> lengths = {0, 1024, 16384};  ///< tokens of history, each in [0, 2^40]
  int64_t windows = 8;       ///< stretches of the text whose tokens are scored, at equal distances; the rows of one batch; at most 4096
  int64_t window_len = 512;  ///< tokens of a window
  int64_t segment = 1024;    ///< tokens a row in a call; speed and memory, not the result
  std::function<void(int64_t tokens)> progress = {};  ///< tokens read so far, of all lengths
};

/// The windows' loss after one length of history.
struct ContextLoss {
  int64_t history = 0;    ///< tokens before a window's first one
  int64_t tokens = 0;     ///< scored
  int64_t bytes = 0;      ///< of text that they stand for
  double nats = 0;        ///< sum; with no history a window's first token, which nothing precedes, costs log V
  double gain = 0;        ///< nats a token less than with the first length
  double gain_error = 0;  ///< standard error of `gain` over the windows; 0 with one window
  int64_t repeated = 0;   ///< times that the texts before had to be read again to give so much history
  double seconds = 0;

  [[nodiscard]] double nats_per_token() const;
  [[nodiscard]] double perplexity() const;
  [[nodiscard]] double bits_per_byte() const;
};

/// Scores windows of `text` after each length of history. A window's history is the text before it, before that `before`, read again from its end
/// as often as needed. Without `before` all windows lie where the longest history fits into `text` itself.
/// State    one of `windows` rows, begun anew for each length
/// Cost     sum over lengths of windows * (length + window_len) tokens
/// Errors   InvalidArgument if an option is out of range, or the text is too short for the windows and their history;
///          Unsupported for a model that does not stream
[[nodiscard]] std::vector<ContextLoss> evaluate_context(models::CausalLm& model, const text::Tokenizer& tokenizer, std::span<const int32_t> before,
                                                        std::span<const int32_t> text, const ContextOptions& options);

}  // namespace everlong::train
