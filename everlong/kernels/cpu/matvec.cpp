#include "everlong/kernels/cpu/matvec.h"

#include <algorithm>
#include <atomic>

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "everlong/kernels/cpu/matvec.cpp"
#include <hwy/foreach_target.h>

#include "everlong/kernels/cpu/bfloat16.h"
#include "everlong/kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using row::kTag;
using row::Vec;

/// A few vectors of values as fp32: one of fp32, or two of bfloat16, the even and the odd places of a pair apart, as shifting and masking whole words
/// leaves them.
template <class T>
struct Spread;

template <>
struct Spread<float> {
  static constexpr int64_t kVectors = 1;
  static HWY_INLINE void load(const float* p, Vec (&out)[1]) { out[0] = hn::LoadU(kTag, p); }
};

#if HWY_TARGET == HWY_SCALAR
template <>
struct Spread<uint16_t> {
  static constexpr int64_t kVectors = 1;
  static HWY_INLINE void load(const uint16_t* p, Vec (&out)[1]) { out[0] = hn::Set(kTag, to_float(*p)); }
};
#else
template <>
struct Spread<uint16_t> {
  static constexpr int64_t kVectors = 2;
  static HWY_INLINE void load(const uint16_t* p, Vec (&out)[2]) { split(hn::LoadU(hn::Repartition<uint16_t, decltype(kTag)>(), p), out); }
  template <class Values>
  static HWY_INLINE void split(Values values, Vec (&out)[2]) {
    const hn::RebindToUnsigned<decltype(kTag)> words;
    const auto pair = hn::BitCast(words, values);
    out[0] = hn::BitCast(kTag, hn::ShiftLeft<16>(pair));
    out[1] = hn::BitCast(kTag, hn::And(pair, hn::Set(words, 0xffff0000u)));
  }
};
#endif

constexpr int64_t kAhead =
    8192;  ///< bytes: one stream a thread, asked for this early, into the second-level cache; past all of them (nta) halves the speed
constexpr int64_t kLeast = int64_t{1} << 17;  ///< values that are worth a second thread
constexpr int64_t kShare = int64_t{1} << 17;  ///< values that a thread takes at a time: long against kAhead
constexpr int kTogether = 4;  ///< outputs whose vectors of partial sums are added up at once
constexpr int64_t kTile = 64;                 ///< outputs that are finished at once

/// Partial sums of kOutputs rows of the matrix against kRows vectors.
template <int kRows, int kOutputs, class T>
struct Partial {
  static constexpr int64_t kVectors = Spread<T>::kVectors;

  HWY_INLINE Partial() {
    for (auto& output : sums)
      for (auto& row : output)
        for (Vec& sum : row) sum = hn::Zero(kTag);
  }
  /// Adds the products of the next values of each row with those at `x` of each vector.
  HWY_INLINE void add(const Vec (&values)[kOutputs][kVectors], const T* x, int64_t stride) {
    Vec inputs[kVectors];
    for (int r = 0; r < kRows; ++r) {
      Spread<T>::load(x + r * stride, inputs);
      for (int o = 0; o < kOutputs; ++o)
        for (int64_t v = 0; v < kVectors; ++v) sums[o][r][v] = hn::MulAdd(values[o][v], inputs[v], sums[o][r][v]);
    }
  }
  HWY_INLINE void total(Vec (*out)[kRows]) const {
    for (int o = 0; o < kOutputs; ++o) {
      for (int r = 0; r < kRows; ++r) {
        out[o][r] = sums[o][r][0];
        for (int64_t v = 1; v < kVectors; ++v) out[o][r] = hn::Add(out[o][r], sums[o][r][v]);
      }
    }
  }

  Vec sums[kOutputs][kRows][kVectors];
};

HWY_INLINE void ask_ahead(const void* p) { __builtin_prefetch(static_cast<const char*>(p) + kAhead, 0, 2); }

template <int kRows, int kOutputs, class T>
HWY_INLINE void accumulate(const MatVec<T>& op, const int64_t* outputs, int64_t whole, Vec (*sums)[kRows]) {
  constexpr int64_t kVectors = Spread<T>::kVectors;
  const T* w[kOutputs];
  for (int o = 0; o < kOutputs; ++o) w[o] = op.w + outputs[o] * op.in_features;
  Partial<kRows, kOutputs, T> partial;
  for (int64_t i = 0; i < whole; i += kVectors * row::lanes()) {
    Vec values[kOutputs][kVectors];
    for (int o = 0; o < kOutputs; ++o) {
      ask_ahead(w[o] + i);
      Spread<T>::load(w[o] + i, values[o]);
    }
    partial.add(values, op.x + i, op.in_features);
  }
  partial.total(sums);
}

#if HWY_TARGET != HWY_SCALAR
/// The same sums in the same order, from the packed form of the rows.
template <int kRows, int kOutputs>
HWY_INLINE void accumulate_packed(const MatVec<uint16_t>& op, const int64_t* outputs, Vec (*sums)[kRows]) {
  const hn::Repartition<uint8_t, decltype(kTag)> bytes;
  using Bytes = hn::Vec<decltype(bytes)>;
  const auto V = static_cast<int64_t>(hn::Lanes(bytes));
  const auto low_bits = hn::Set(bytes, 0x0f);
  const uint8_t* rows[kOutputs];
  uint64_t left_out = 0;
  for (int o = 0; o < kOutputs; ++o) {
    rows[o] = op.packed.rows + outputs[o] * (op.in_features / 2 * 3);
    left_out |= op.packed.left_out[outputs[o]];
  }
  Partial<kRows, kOutputs, uint16_t> partial;
  for (int64_t block = 0; block * 2 * V < op.in_features; ++block) {
    Bytes low[kOutputs][2], high[kOutputs][2];
    for (int o = 0; o < kOutputs; ++o) {
      for (int64_t v = 0; v < 3; ++v) ask_ahead(rows[o] + v * V);
      const auto table = hn::LoadDup128(bytes, op.packed.tables + outputs[o] * PackedMatrix::kTableBytes), codes = hn::Load(bytes, rows[o] + 2 * V);
      for (int64_t v = 0; v < 2; ++v) low[o][v] = hn::Load(bytes, rows[o] + v * V);
      high[o][0] = hn::TableLookupBytes(table, hn::And(codes, low_bits));
      high[o][1] = hn::TableLookupBytes(table, hn::ShiftRight<4>(codes));
      rows[o] += 3 * V;
    }
    const uint64_t bit = PackedMatrix::bit_of(block);
    for (int64_t quarter = 0; quarter < 4; ++quarter) {
      const int64_t place = block * 2 * V + quarter * (V / 2);
      Vec values[kOutputs][2];
      for (int o = 0; o < kOutputs; ++o) {
        const auto a = low[o][quarter / 2], b = high[o][quarter / 2];
        Spread<uint16_t>::split(quarter % 2 == 0 ? hn::InterleaveLower(bytes, a, b) : hn::InterleaveUpper(bytes, a, b), values[o]);
      }
      if (HWY_UNLIKELY((left_out & bit) != 0)) {
        for (int o = 0; o < kOutputs; ++o)
          if ((op.packed.left_out[outputs[o]] & bit) != 0) Spread<uint16_t>::load(op.w + outputs[o] * op.in_features + place, values[o]);
      }
      partial.add(values, op.x + place, op.in_features);
    }
  }
  partial.total(sums);
}
#endif

/// The sums of kOutputs outputs over whole vectors.
template <int kRows, int kOutputs, class T>
HWY_INLINE void accumulate_outputs(const MatVec<T>& op, const int64_t* outputs, int64_t whole, Vec (*sums)[kRows]) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (sizeof(T) == sizeof(uint16_t)) {
    if (op.packed.tables != nullptr) return accumulate_packed<kRows, kOutputs>(op, outputs, sums);
  }
#endif
  accumulate<kRows, kOutputs>(op, outputs, whole, sums);
}

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void add_lanes(Vec a, Vec b, Vec c, Vec d, float* out) {
  for (const Vec v : {a, b, c, d}) *out++ = hn::GetLane(v);
}
#else
/// Adds the upper half of a vector to the lower one until four lanes are left.
template <class Tag, class V>
HWY_INLINE auto fold(Tag /*tag*/, V v) {
  if constexpr (hn::MaxLanes(Tag()) > kTogether) {
    const hn::Half<Tag> half;
    return fold(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  } else {
    return v;
  }
}

/// Writes the sums of the lanes of four vectors.
HWY_INLINE void add_lanes(Vec a, Vec b, Vec c, Vec d, float* out) {
  const hn::Repartition<uint64_t, decltype(kTag)> pairs;
  const auto ab = hn::BitCast(pairs, hn::Add(hn::InterleaveLower(kTag, a, b), hn::InterleaveUpper(kTag, a, b)));
  const auto cd = hn::BitCast(pairs, hn::Add(hn::InterleaveLower(kTag, c, d), hn::InterleaveUpper(kTag, c, d)));
  const auto low = hn::BitCast(kTag, hn::InterleaveLower(pairs, ab, cd)), high = hn::BitCast(kTag, hn::InterleaveUpper(pairs, ab, cd));
  hn::StoreU(fold(kTag, hn::Add(low, high)), hn::CappedTag<float, kTogether>(), out);
}
#endif

/// The sums of the outputs first .. first + kTogether - 1, of which those from `last` on are read as the one before it. `sums` has kTile places a
/// row.
template <int kRows, class T>
HWY_INLINE void dot(const MatVec<T>& op, int64_t whole, int64_t first, int64_t last, float* sums) {
  constexpr int kOutputs = kRows <= 2 ? kTogether : kTogether / 2;  // as many as there are registers for
  Vec parts[kTogether][kRows];
  int64_t outputs[kTogether];
  for (int64_t o = 0; o < kTogether; ++o) outputs[o] = std::min(first + o, last - 1);
  for (int64_t o = 0; o < kTogether; o += kOutputs) accumulate_outputs<kRows, kOutputs>(op, outputs + o, whole, parts + o);
  for (int r = 0; r < kRows; ++r) {
    float* row_sums = sums + r * kTile;
    add_lanes(parts[0][r], parts[1][r], parts[2][r], parts[3][r], row_sums);
    for (int64_t i = whole; i < op.in_features; ++i) {
      const float x = to_float(op.x[r * op.in_features + i]);
      for (int64_t o = 0; o < kTogether; ++o) row_sums[o] += to_float(op.w[std::min(first + o, last - 1) * op.in_features + i]) * x;
    }
  }
}

template <class T>
HWY_INLINE void finish(const MatVec<T>& op, const float* sums, int64_t r, int64_t first, int64_t count) {
  const int64_t place = r * op.out_features + first;
  row::each(count, [&](int64_t i, int64_t n) EVERLONG_VECTOR_BODY {
    auto value = row::load(sums + i);  // a tile has room for whole vectors
    if (op.bias != nullptr) value = hn::Add(value, row::load(op.bias + first + i, n));
    if (op.silu) value = row::silu(value);
    if (op.residual != nullptr) value = hn::Add(value, row::load(op.residual + place + i, n));
    row::store(value, op.y + place + i, n);
  });
}

template <int kRows, class T>
void multiply(const MatVec<T>& op, int64_t begin, int64_t end) {
  const int64_t step = Spread<T>::kVectors * row::lanes(), whole = op.in_features / step * step;
  float sums[kRows][kTile] = {};
  for (int64_t first = begin; first < end; first += kTile) {
    const int64_t count = std::min(kTile, end - first);
    for (int64_t o = 0; o < count; o += kTogether) dot<kRows>(op, whole, first + o, end, &sums[0][o]);
    for (int r = 0; r < kRows; ++r) finish(op, sums[r], r, first, count);
  }
}

template <class T>
void multiply_rows(const MatVec<T>& op, int64_t begin, int64_t end) {
  switch (op.num_rows) {
    case 1:
      return multiply<1>(op, begin, end);
    case 2:
      return multiply<2>(op, begin, end);
    case 3:
      return multiply<3>(op, begin, end);
    default:
      return multiply<4>(op, begin, end);
  }
}

/// Each thread takes the next share when it is done with one: memory does not serve them evenly, and the slowest would hold up all.
template <class T>
void run(const MatVec<T>& op, const ParallelFor& parallel_for) {
  const int64_t tiles = (op.out_features + kTile - 1) / kTile, tile_values = std::max<int64_t>(1, op.in_features * kTile);
  const int64_t share = std::max<int64_t>(1, kShare / tile_values);
  std::atomic<int64_t> next = 0;
  parallel_for(0, tiles, std::max<int64_t>(1, kLeast / tile_values), [&](int64_t, int64_t) {
    for (int64_t tile = next.fetch_add(share); tile < tiles; tile = next.fetch_add(share))
      multiply_rows(op, tile * kTile, std::min(op.out_features, (tile + share) * kTile));
  });
}

void matvec_f32(const MatVec<float>& op, const ParallelFor& parallel_for) { run(op, parallel_for); }
void matvec_bf16(const MatVec<uint16_t>& op, const ParallelFor& parallel_for) { run(op, parallel_for); }

}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace everlong::kernels {

HWY_EXPORT(matvec_f32);
HWY_EXPORT(matvec_bf16);

template <>
void matvec(const MatVec<float>& op, const ParallelFor& parallel_for) {
  HWY_DYNAMIC_DISPATCH(matvec_f32)(op, parallel_for);
}
template <>
void matvec(const MatVec<uint16_t>& op, const ParallelFor& parallel_for) {
  HWY_DYNAMIC_DISPATCH(matvec_bf16)(op, parallel_for);
}

}  // namespace everlong::kernels
#endif  // HWY_ONCE
