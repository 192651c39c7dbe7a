#pragma once

#include <cstdint>
#include <vector>

#include "everlong/generate/search.h"

namespace everlong::generate {

/// An open continuation: one row of the batch.
struct Beam {
  std::vector<int64_t> tokens;  ///< prompt included
  double score = 0;             ///< sum of log-probabilities, penalised
};

/// One more token for a beam.
struct Candidate {
  size_t beam;  ///< index among the open beams of the row
  int64_t token;
  double score;
};

/// The beams of one row of the prompt: the open ones, and the best finished ones.
/// Source   transformers 4.40.2, BeamSearchScorer and BeamHypotheses. Exact.
class BeamRow {
 public:
  BeamRow(std::vector<int64_t> prompt, const SearchOptions& options);

  /// Takes the best candidates, best first. Returns for each new open beam the index of the one it continues.
  std::vector<size_t> advance(const std::vector<Candidate>& best);

  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] const std::vector<Beam>& open() const { return open_; }
  /// Closes what is still open. Returns  the best continuations, at most num_results
  [[nodiscard]] std::vector<Continuation> results();

 private:
  void finish(const Beam& beam, bool ended, double score, int64_t length);
  [[nodiscard]] bool enough(double best_score, int64_t length) const;
  [[nodiscard]] int64_t generated(const Beam& beam) const { return static_cast<int64_t>(beam.tokens.size() - prompt_len_); }

  const SearchOptions& options_;
  size_t prompt_len_;
  std::vector<Beam> open_;
  std::vector<Continuation> finished_;  ///< at most num_beams
  double worst_ = 1e9;                  ///< score of the worst finished one
  bool done_ = false;
};

}  // namespace everlong::generate
