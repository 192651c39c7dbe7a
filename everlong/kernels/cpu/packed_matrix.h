#pragma once
// bfloat16 matrices in three quarters of their bytes, without loss: decoding is bound by reading them.

#include <cstdint>

#include "everlong/kernels/cpu/parallel.h"

namespace everlong::kernels {

/// A matrix [out_features, in_features] whose values keep their low byte and have, instead of the high one (the sign and seven bits of the exponent),
/// four bits: the place in a table of the group of rows. Learned weights fit: the eight commonest of those seven bits are a factor of 2^16 between
/// the largest and the smallest value. A block of packed_block() values of a row that holds others is read from the matrix itself. Layout   depends
/// on the vectors of this processor: it is made where it is used, and never stored
struct PackedMatrix {
  static constexpr int64_t kTableBytes = 16, kGroup = 16;  ///< high bytes of a table; rows that share one

  const uint8_t* tables = nullptr;         ///< [num_groups(out_features), kTableBytes]; null = there is no packed form
  const uint8_t* rows = nullptr;           ///< [out_features, in_features * 3 / 2], aligned to 64
  const uint64_t* left_out = nullptr;      ///< [out_features]: the bit of a block is set where it is not packed
  const uint64_t* any_left_out = nullptr;  ///< [num_groups(out_features)]: the bits that any row of a group has

  [[nodiscard]] static int64_t num_groups(int64_t out_features) { return (out_features + kGroup - 1) / kGroup; }
  /// The bit of a block of a row; the blocks from the 64th on have one together.
  [[nodiscard]] static uint64_t bit_of(int64_t block) { return uint64_t{1} << (block < 63 ? block : 63); }
};

/// Values that are unpacked at once; in_features must be a multiple. 0 = this processor unpacks nothing.
[[nodiscard]] int64_t packed_block();

/// Where pack_matrix() writes; the arrays of a PackedMatrix.
struct PackedArrays {
  uint8_t* tables = nullptr;
  uint8_t* rows = nullptr;
  uint64_t* left_out = nullptr;
  uint64_t* any_left_out = nullptr;
};

/// Packs w [out_features, in_features]. Returns  the number of blocks that are left out
int64_t pack_matrix(const uint16_t* w, int64_t out_features, int64_t in_features, const PackedArrays& packed, const ParallelFor& parallel_for);

}  // namespace everlong::kernels
