#pragma once
// bfloat16 matrices in three quarters of their bytes, without loss: decoding is bound by reading them.

#include <cstdint>

#include "everlong/kernels/cpu/parallel.h"

namespace everlong::kernels {

/// A matrix [out_features, in_features] whose values keep their low byte and have, instead of the high one (the sign and seven bits of the exponent), four
/// bits: the place in a table of the row. Learned weights fit: the eight commonest of those seven bits are a factor of 2^16 between the largest and the
/// smallest value of a row. A row that holds others is not packed, and read from the matrix itself.
/// Layout   depends on the vectors of this processor: it is made where it is used, and never stored
struct PackedMatrix {
  static constexpr int64_t kTableBytes = 16;

  const uint8_t* tables = nullptr;  ///< [out_features, kTableBytes]: high bytes; null = there is no packed form
  const uint8_t* rows = nullptr;    ///< [out_features, in_features * 3 / 2], aligned to 64

  /// A row that is not packed has a positive byte as the first of its negative ones.
  [[nodiscard]] bool holds(int64_t row) const { return (tables[row * kTableBytes + 8] & 0x80) != 0; }
};

/// Values that are unpacked at once; in_features must be a multiple. 0 = this processor unpacks nothing.
[[nodiscard]] int64_t packed_block();

/// Packs w [out_features, in_features] into `tables` and `rows`. Returns  the number of rows that hold too many exponents
int64_t pack_matrix(const uint16_t* w, int64_t out_features, int64_t in_features, uint8_t* tables, uint8_t* rows, const ParallelFor& parallel_for);

}  // namespace everlong::kernels
