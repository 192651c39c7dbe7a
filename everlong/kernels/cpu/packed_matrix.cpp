#include "everlong/kernels/cpu/packed_matrix.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <numeric>

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "everlong/kernels/cpu/packed_matrix.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

int64_t vector_bytes() {
#if HWY_TARGET == HWY_SCALAR
  return 0;
#else
  return static_cast<int64_t>(hn::Lanes(hn::CappedTag<uint8_t, 64>()));
#endif
}

}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace everlong::kernels {
namespace {

HWY_EXPORT(vector_bytes);

constexpr int kTops = 128, kCodes = 8;  // values of the upper seven bits of an exponent; those that a group may hold

int top_of(uint16_t value) { return (value >> 8) & 0x7f; }

/// The code of each of the commonest tops of the values, -1 of the others; the table that decodes them.
void choose_codes(const uint16_t* values, int64_t count, std::array<int8_t, kTops>& codes, uint8_t* table) {
  std::array<int64_t, kTops> counts{};
  for (int64_t i = 0; i < count; ++i) ++counts[static_cast<size_t>(top_of(values[i]))];
  std::array<int, kTops> order;
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + kCodes, order.end(),
                    [&](int a, int b) { return counts[static_cast<size_t>(a)] > counts[static_cast<size_t>(b)]; });
  codes.fill(-1);
  for (int code = 0; code < kCodes; ++code) {
    const int top = order[static_cast<size_t>(code)];
    codes[static_cast<size_t>(top)] = static_cast<int8_t>(code);
    table[code] = static_cast<uint8_t>(top);
    table[code + kCodes] = static_cast<uint8_t>(top | 0x80);
  }
}

bool fits(const uint16_t* values, int64_t count, const std::array<int8_t, kTops>& codes) {
  return std::all_of(values, values + count, [&](uint16_t value) { return codes[static_cast<size_t>(top_of(value))] >= 0; });
}

/// A block: the low bytes of its first half, those of its second, and a byte for each pair of high ones, first half in the low bits. Within a half a
/// value lies where interleaving low and high bytes in lanes of 16 puts it back: the lower eight of every lane, then the upper eight.
void pack_block(const uint16_t* values, int64_t vector, const std::array<int8_t, kTops>& codes, uint8_t* out) {
  const int64_t words = vector / 2;
  std::memset(out + 2 * vector, 0, static_cast<size_t>(vector));
  for (int64_t i = 0; i < 2 * vector; ++i) {
    const int64_t half = i / vector, upper = i / words % 2, place = i % words;
    const int64_t byte = place / 8 * 16 + upper * 8 + place % 8;
    const uint16_t value = values[i];
    const int code = codes[static_cast<size_t>(top_of(value))] | (value >> 15 << 3);
    out[half * vector + byte] = static_cast<uint8_t>(value & 0xff);
    out[2 * vector + byte] = static_cast<uint8_t>(out[2 * vector + byte] | code << (4 * half));
  }
}

/// Packs the blocks of a row whose values have codes. Returns  the bits of the others
uint64_t pack_row(const uint16_t* values, int64_t num_blocks, int64_t block, const std::array<int8_t, kTops>& codes, uint8_t* out) {
  uint64_t left_out = 0;
  for (int64_t i = 0; i < num_blocks; ++i)
    if (!fits(values + i * block, block, codes)) left_out |= PackedMatrix::bit_of(i);
  for (int64_t i = 0; i < num_blocks; ++i)
    if ((left_out & PackedMatrix::bit_of(i)) == 0) pack_block(values + i * block, block / 2, codes, out + i * block * 3 / 2);
  return left_out;
}

}  // namespace

int64_t packed_block() { return 2 * HWY_DYNAMIC_DISPATCH(vector_bytes)(); }

int64_t pack_matrix(const uint16_t* w, int64_t out_features, int64_t in_features, const PackedArrays& packed, const ParallelFor& parallel_for) {
  constexpr int64_t kGroup = PackedMatrix::kGroup;
  const int64_t block = packed_block(), num_blocks = in_features / block;
  std::atomic<int64_t> left_out = 0;
  parallel_for(0, PackedMatrix::num_groups(out_features), std::max<int64_t>(1, 65536 / (in_features * kGroup)), [&](int64_t begin, int64_t end) {
    std::array<int8_t, kTops> codes;
    for (int64_t group = begin; group < end; ++group) {
      const int64_t first = group * kGroup, last = std::min(out_features, first + kGroup);
      choose_codes(w + first * in_features, (last - first) * in_features, codes, packed.tables + group * PackedMatrix::kTableBytes);
      uint64_t any = 0;
      for (int64_t row = first; row < last; ++row) {
        any |= packed.left_out[row] = pack_row(w + row * in_features, num_blocks, block, codes, packed.rows + row * (in_features / 2 * 3));
        for (int64_t i = 0; i < num_blocks; ++i) left_out += (packed.left_out[row] & PackedMatrix::bit_of(i)) != 0 ? 1 : 0;
      }
      packed.any_left_out[group] = any;
    }
  });
  return left_out;
}

}  // namespace everlong::kernels
#endif  // HWY_ONCE
