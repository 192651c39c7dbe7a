#include "apps/everlong/suggest.h"

#include <algorithm>

namespace everlong::app {
namespace {

/// Edit distance in which two swapped neighbours count as one edit.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> rows(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) rows[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      rows[i][j] = std::min({rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) rows[i][j] = std::min(rows[i][j], rows[i - 2][j - 2] + 1);
    }
  }
  return rows[a.size()][b.size()];
}

std::string_view without_dashes(std::string_view word) {
  while (word.starts_with('-')) word.remove_prefix(1);
  return word;
}

}  // namespace

std::string nearest(std::string_view typed, const std::vector<std::string>& known) {
  constexpr size_t kLongestWord = 64;  // longer than any name here; keeps the table small whatever is typed
  const std::string_view word = without_dashes(typed);
  if (word.empty() || word.size() > kLongestWord) return {};
  std::string best;
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string& name : known) {
    const std::string_view candidate = without_dashes(name);
    if (candidate.size() < 2) continue;
    const bool begun = word.size() >= 2 && candidate.starts_with(word);
    const size_t edits = begun ? 1 : distance(word, candidate);
    if (edits >= best_distance) continue;
    best_distance = edits;
    best = name;
  }
  return best;
}

}  // namespace everlong::app
