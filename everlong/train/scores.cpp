#include "everlong/train/scores.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include "everlong/base/error.h"

namespace everlong::train {
namespace {

void check_lengths(size_t predicted, size_t expected) {
  require(predicted == expected && predicted > 0, [&] {
    return Complaint{
        .where = "scores", .expected = "as many predictions as expected values, at least one", .got = fmt::format("{} and {}", predicted, expected)};
  });
}

struct ClassCounts {
  double predicted = 0, expected = 0, correct = 0;

  [[nodiscard]] double f1() const { return predicted + expected > 0 ? 2 * correct / (predicted + expected) : 0; }
};

std::map<int64_t, ClassCounts> count_classes(std::span<const int64_t> predicted, std::span<const int64_t> expected) {
  check_lengths(predicted.size(), expected.size());
  std::map<int64_t, ClassCounts> counts;
  for (size_t i = 0; i < predicted.size(); ++i) {
    ++counts[predicted[i]].predicted;
    ++counts[expected[i]].expected;
    if (predicted[i] == expected[i]) ++counts[predicted[i]].correct;
  }
  return counts;
}

double mean_of(std::span<const double> values) { return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size()); }

/// Ranks from 1; equal values share the mean of theirs.
std::vector<double> ranks_of(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin + 1;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (size_t i = begin; i < end; ++i) ranks[order[i]] = static_cast<double>(begin + 1 + end) / 2;
    begin = end;
  }
  return ranks;
}

bool all_finite(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

bool is_punctuation(char c) { return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~'); }
bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// The words of an answer as SQuAD compares it.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty() && word != "a" && word != "an" && word != "the") words.push_back(word);
    word.clear();
  };
  for (const char c : text) {
    if (is_space(c)) {
      end_word();
    } else if (!is_punctuation(c)) {
      word += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
  }
  end_word();
  return words;
}

double f1_of_words(std::vector<std::string> a, std::vector<std::string> b) {
  if (a.empty() || b.empty()) return a.empty() && b.empty() ? 1 : 0;
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  std::vector<std::string> common;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(common));
  return 2 * static_cast<double>(common.size()) / static_cast<double>(a.size() + b.size());
}

template <class Score>
double best_of(std::span<const std::string> references, const Score& score) {
  require(!references.empty(), [] { return Complaint{.where = "scores", .expected = "at least one reference answer", .got = "none"}; });
  double best = 0;
  for (const std::string& reference : references) best = std::max(best, score(reference));
  return best;
}

}  // namespace

double accuracy(std::span<const int64_t> predicted, std::span<const int64_t> expected) {
  check_lengths(predicted.size(), expected.size());
  size_t correct = 0;
  for (size_t i = 0; i < predicted.size(); ++i) correct += predicted[i] == expected[i];
  return static_cast<double>(correct) / static_cast<double>(predicted.size());
}

double f1_binary(std::span<const int64_t> predicted, std::span<const int64_t> expected, int64_t positive) {
  return count_classes(predicted, expected)[positive].f1();
}

double f1_macro(std::span<const int64_t> predicted, std::span<const int64_t> expected) {
  const auto counts = count_classes(predicted, expected);
  double sum = 0;
  for (const auto& entry : counts) sum += entry.second.f1();
  return sum / static_cast<double>(counts.size());
}

double matthews_correlation(std::span<const int64_t> predicted, std::span<const int64_t> expected) {
  const auto samples = static_cast<double>(predicted.size());
  double correct = 0, both = 0, predicted_squares = 0, expected_squares = 0;
  for (const auto& entry : count_classes(predicted, expected)) {
    const ClassCounts& counts = entry.second;
    correct += counts.correct;
    both += counts.predicted * counts.expected;
    predicted_squares += counts.predicted * counts.predicted;
    expected_squares += counts.expected * counts.expected;
  }
  const double spread = (samples * samples - predicted_squares) * (samples * samples - expected_squares);
  return spread > 0 ? (correct * samples - both) / std::sqrt(spread) : 0;
}

double pearson_correlation(std::span<const double> predicted, std::span<const double> expected) {
  check_lengths(predicted.size(), expected.size());
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  if (!all_finite(predicted) || !all_finite(expected)) return kNone;
  // The mean of equal values can differ from them by rounding, and a constant list would correlate.
  const auto is_constant = [](std::span<const double> values) {
    return std::all_of(values.begin(), values.end(), [&](double value) { return value == values[0]; });
  };
  if (is_constant(predicted) || is_constant(expected)) return kNone;
  const double mean_predicted = mean_of(predicted), mean_expected = mean_of(expected);
  double product = 0, predicted_squares = 0, expected_squares = 0;
  for (size_t i = 0; i < predicted.size(); ++i) {
    const double a = predicted[i] - mean_predicted, b = expected[i] - mean_expected;
    product += a * b;
    predicted_squares += a * a;
    expected_squares += b * b;
  }
  return std::clamp(product / (std::sqrt(predicted_squares) * std::sqrt(expected_squares)), -1.0, 1.0);
}

double spearman_correlation(std::span<const double> predicted, std::span<const double> expected) {
  check_lengths(predicted.size(), expected.size());
  if (!all_finite(predicted) || !all_finite(expected)) return std::numeric_limits<double>::quiet_NaN();
  return pearson_correlation(ranks_of(predicted), ranks_of(expected));
}

double mean_squared_error(std::span<const double> predicted, std::span<const double> expected) {
  check_lengths(predicted.size(), expected.size());
  double sum = 0;
  for (size_t i = 0; i < predicted.size(); ++i) sum += (predicted[i] - expected[i]) * (predicted[i] - expected[i]);
  return sum / static_cast<double>(predicted.size());
}

std::string normalized_answer(std::string_view text) {
  std::string joined;
  for (const std::string& word : words_of(text)) joined += (joined.empty() ? "" : " ") + word;
  return joined;
}

double exact_match(std::string_view predicted, std::span<const std::string> references) {
  const std::string answer = normalized_answer(predicted);
  return best_of(references, [&](const std::string& reference) { return normalized_answer(reference) == answer ? 1.0 : 0.0; });
}

double token_f1(std::string_view predicted, std::span<const std::string> references) {
  const auto answer = words_of(predicted);
  return best_of(references, [&](const std::string& reference) { return f1_of_words(answer, words_of(reference)); });
}

}  // namespace everlong::train
