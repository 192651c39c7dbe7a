#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace everlong::generate {

/// Divides the positive scores of tokens that occurred by `penalty` and multiplies the negative ones, each token once.
/// Source   Keskar et al., arXiv 1909.05858
void penalize_repetition(std::span<double> scores, std::span<const int64_t> tokens, double penalty);

/// Sets the scores of tokens that would repeat n tokens in a row to minus infinity; n >= 1.
/// Source   Paulus et al., arXiv 1705.04304, section 2.5
void ban_repeated_ngrams(std::span<double> scores, std::span<const int64_t> tokens, int64_t n);

}  // namespace everlong::generate
