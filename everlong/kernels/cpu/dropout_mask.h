#pragma once
// Dropout of rows of values whose mask is a function of (seed, row, column): the backward replays it and nothing is stored.

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace everlong::kernels {

/// A value is dropped where its 32-bit word is below p 2^32, rounded; the others are scaled by 1 / (1 - p).
struct DropoutMask {
  uint32_t threshold = 0;
  double factor = 1;
  uint64_t seed = 0;
  int64_t first_row = 0;  ///< number of row 0 in the whole batch

  /// Units  p in [0, 1)
  static DropoutMask of(double p, uint64_t seed, int64_t first_row = 0) {
    const double threshold = std::clamp(std::round(p * 0x1p32), 0.0, 0x1p32 - 1);
    return {.threshold = static_cast<uint32_t>(threshold), .factor = 1 / (1 - p), .seed = seed, .first_row = first_row};
  }
  [[nodiscard]] bool active() const { return threshold > 0; }
};

/// What the words of one row start from: splitmix64 of seed and row.
struct DropoutRow {
  uint32_t first, second;

  DropoutRow(const DropoutMask& mask, int64_t row) {
    uint64_t z = mask.seed + 0x9e3779b97f4a7c15u * (static_cast<uint64_t>(mask.first_row + row) + 1);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    first = static_cast<uint32_t>(z), second = static_cast<uint32_t>(z >> 32);
  }

  /// The word of a column: a 32-bit finaliser with the row's words mixed in twice, so that no two rows share an order of words.
  [[nodiscard]] uint32_t word(uint32_t column) const {
    uint32_t h = column * 0x9e3779b1u ^ first;
    h = (h ^ (h >> 16)) * 0x21f0aaadu + second;
    h = (h ^ (h >> 15)) * 0x735a2d97u;
    return h ^ (h >> 15);
  }
  /// 0 or the factor. Kernels compute the same along vectors.
  [[nodiscard]] double keep(const DropoutMask& mask, int64_t column) const { return word(static_cast<uint32_t>(column)) < mask.threshold ? 0.0 : mask.factor; }
};

}  // namespace everlong::kernels
