#include "everlong/generate/beam_row.h"

#include <algorithm>
#include <cmath>

namespace everlong::generate {

BeamRow::BeamRow(std::vector<int64_t> prompt, const SearchOptions& options) : options_(options), prompt_len_(prompt.size()) {
  open_.push_back({.tokens = std::move(prompt)});
}

void BeamRow::finish(const Beam& beam, bool ended, double score, int64_t length) {
  const double ranked =
      options_.num_beams == 1 ? score : score / std::pow(static_cast<double>(std::max<int64_t>(length, 1)), options_.length_penalty);
  const auto full = static_cast<int64_t>(finished_.size()) >= options_.num_beams;
  if (full && !(ranked > worst_)) return;
  finished_.push_back(
      {.tokens = {beam.tokens.begin() + static_cast<std::ptrdiff_t>(prompt_len_), beam.tokens.end()}, .score = ranked, .ended = ended});
  const auto worse = [](const Continuation& a, const Continuation& b) { return a.score < b.score; };
  if (full) finished_.erase(std::min_element(finished_.begin(), finished_.end(), worse));
  worst_ = std::min_element(finished_.begin(), finished_.end(), worse)->score;
}

bool BeamRow::enough(double best_score, int64_t length) const {
  if (static_cast<int64_t>(finished_.size()) < options_.num_beams) return false;
  if (options_.num_beams == 1 || options_.early_stopping == EarlyStopping::first) return true;
  const bool any_length = options_.early_stopping == EarlyStopping::never && options_.length_penalty > 0;
  const auto divisor = static_cast<double>(any_length ? options_.max_new_tokens : length);
  return worst_ >= best_score / std::pow(divisor, options_.length_penalty);
}

std::vector<size_t> BeamRow::advance(const std::vector<Candidate>& best) {
  std::vector<Beam> next;
  std::vector<size_t> parents;
  const auto width = static_cast<size_t>(options_.num_beams);
  const int64_t length = generated(open_.front()) + 1;
  for (size_t rank = 0; rank < best.size() && next.size() < width; ++rank) {
    const Beam& parent = open_[best[rank].beam];
    if (options_.end_token && best[rank].token == *options_.end_token) {
      if (rank < width) finish(parent, true, best[rank].score, length);
      continue;
    }
    Beam beam{.tokens = parent.tokens, .score = best[rank].score};
    beam.tokens.push_back(best[rank].token);
    next.push_back(std::move(beam));
    parents.push_back(best[rank].beam);
  }
  if (next.empty() && finished_.empty()) {  // every candidate is forbidden: what there is, is the answer
    for (const Beam& beam : open_) finish(beam, false, beam.score, generated(beam));
  }
  done_ = next.empty() || enough(best.front().score, length);
  open_ = std::move(next);
  if (done_) parents.clear();
  return parents;
}

std::vector<Continuation> BeamRow::results() {
  if (!done_)
    for (const Beam& beam : open_) finish(beam, false, beam.score, generated(beam));
  open_.clear();
  done_ = true;
  std::stable_sort(finished_.begin(), finished_.end(), [](const Continuation& a, const Continuation& b) { return a.score < b.score; });
  std::reverse(finished_.begin(), finished_.end());
  finished_.resize(std::min(finished_.size(), static_cast<size_t>(options_.num_results)));
  return finished_;
}

}  // namespace everlong::generate
