#include "everlong/generate/token_rules.h"

#include <algorithm>
#include <limits>
#include <set>

namespace everlong::generate {

void penalize_repetition(std::span<double> scores, std::span<const int64_t> tokens, double penalty) {
  if (penalty == 1.0) return;
  for (const int64_t token : std::set<int64_t>(tokens.begin(), tokens.end())) {
    double& score = scores[static_cast<size_t>(token)];
    score = score < 0 ? score * penalty : score / penalty;
  }
}

void ban_repeated_ngrams(std::span<double> scores, std::span<const int64_t> tokens, int64_t n) {
  const auto prefix = static_cast<size_t>(n - 1);
  if (tokens.size() < static_cast<size_t>(n)) return;
  const auto last = tokens.last(prefix);
  for (size_t begin = 0; begin + prefix < tokens.size(); ++begin)
    if (std::equal(last.begin(), last.end(), tokens.begin() + static_cast<std::ptrdiff_t>(begin)))
      scores[static_cast<size_t>(tokens[begin + prefix])] = -std::numeric_limits<double>::infinity();
}

}  // namespace everlong::generate
