#pragma once
// How well predictions agree with what was expected: the scores that benchmarks publish. No torch.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace everlong::train {

/// All scores below: Errors  InvalidArgument if the two lists differ in length or are empty. Cost  O(n) unless said otherwise.

/// The share of equal classes. Units  in [0, 1]
[[nodiscard]] double accuracy(std::span<const int64_t> predicted, std::span<const int64_t> expected);

/// F1 of one class, 2 TP / (2 TP + FP + FN); 0 where that is 0 / 0. Units  in [0, 1]
[[nodiscard]] double f1_binary(std::span<const int64_t> predicted, std::span<const int64_t> expected, int64_t positive = 1);

/// Mean of f1_binary over all classes that occur in either list. Units  in [0, 1]. Cost  O(n log n)
[[nodiscard]] double f1_macro(std::span<const int64_t> predicted, std::span<const int64_t> expected);

/// Matthews' correlation for any number of classes; 0 where one list has only one class.
/// Math     (c s - sum_k p_k t_k) / sqrt((s^2 - sum_k p_k^2) (s^2 - sum_k t_k^2)), c correct, s samples, p_k predicted and t_k true as class k
/// Units    in [-1, 1]. Cost  O(n log n)
/// Source   Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient", 2004. Exact.
[[nodiscard]] double matthews_correlation(std::span<const int64_t> predicted, std::span<const int64_t> expected);

/// Pearson's correlation; not a number where one list is constant or holds a value that is not finite. Units  in [-1, 1]
[[nodiscard]] double pearson_correlation(std::span<const double> predicted, std::span<const double> expected);

/// Pearson's correlation of the ranks, equal values sharing the mean of their ranks; not a number as above. Units  in [-1, 1]. Cost  O(n log n)
[[nodiscard]] double spearman_correlation(std::span<const double> predicted, std::span<const double> expected);

/// Mean of the squared differences.
[[nodiscard]] double mean_squared_error(std::span<const double> predicted, std::span<const double> expected);

/// An answer as SQuAD compares it: lower case, without ASCII punctuation and the words a, an, the, one space between words. Letters outside ASCII
/// stay as they are.
/// Source   the evaluation script of SQuAD 1.1. Differs: only ASCII letters become lower case.
[[nodiscard]] std::string normalized_answer(std::string_view text);

/// 1 if the normalized answer equals one of the normalized references, else 0; the reference of a question without an answer is "".
/// Errors   InvalidArgument if there are no references
[[nodiscard]] double exact_match(std::string_view predicted, std::span<const std::string> references);

/// The best F1 of the words of the answer against those of a reference; without words on one side 1 if both have none, else 0.
/// Units    in [0, 1]. Errors  InvalidArgument if there are no references
[[nodiscard]] double token_f1(std::string_view predicted, std::span<const std::string> references);

}  // namespace everlong::train
