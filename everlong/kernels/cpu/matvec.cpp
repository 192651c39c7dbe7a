#include "everlong/kernels/cpu/matvec.h"

#include <algorithm>

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

/// What a vector of values of the matrix and one of x are multiplied with: values of fp32.
struct Floats {
  using Element = float;
  using Values = Vec;
  static constexpr int kSums = 1;
  static HWY_INLINE int64_t count() { return row::lanes(); }
  static HWY_INLINE Values load(const Element* p) { return hn::LoadU(kTag, p); }
  static HWY_INLINE void add(Values w, Values x, Vec (&sums)[kSums]) { sums[0] = hn::MulAdd(w, x, sums[0]); }
};

#if HWY_TARGET == HWY_SCALAR
/// Single values of bfloat16.
struct Pairs {
  using Element = uint16_t;
  using Values = Vec;
  static constexpr int kSums = 1;
  static HWY_INLINE int64_t count() { return 1; }
  static HWY_INLINE Values load(const Element* p) { return hn::Set(kTag, to_float(*p)); }
  static HWY_INLINE void add(Values w, Values x, Vec (&sums)[kSums]) { sums[0] = hn::MulAdd(w, x, sums[0]); }
};
#else
/// Pairs of bfloat16; their even and odd places are summed apart, as shifting and masking whole words leaves them.
struct Pairs {
  using Element = uint16_t;
  using Tag = hn::Repartition<Element, decltype(kTag)>;
  using Values = hn::Vec<Tag>;
  static constexpr int kSums = 2;
  static HWY_INLINE int64_t count() { return 2 * row::lanes(); }
  static HWY_INLINE Values load(const Element* p) { return hn::LoadU(Tag(), p); }
  static HWY_INLINE void add(Values w, Values x, Vec (&sums)[kSums]) {
    const hn::RebindToUnsigned<decltype(kTag)> words;
    const auto even = [&](Values pairs) HWY_ATTR { return hn::BitCast(kTag, hn::ShiftLeft<16>(hn::BitCast(words, pairs))); };
    const auto odd = [&](Values pairs) HWY_ATTR { return hn::BitCast(kTag, hn::And(hn::BitCast(words, pairs), hn::Set(words, 0xffff0000u))); };
    sums[0] = hn::MulAdd(even(w), even(x), sums[0]);
    sums[1] = hn::MulAdd(odd(w), odd(x), sums[1]);
  }
};
#endif

#if HWY_TARGET == HWY_AVX3
/// Pairs of bfloat16 that one instruction multiplies and adds up. Highway has no target with it, and a function compiled for it could not be inlined
/// here.
struct NativePairs : Pairs {
  static constexpr int kSums = 1;
  static HWY_INLINE void add(Values w, Values x, Vec (&sums)[kSums]) { asm("vdpbf16ps %2, %1, %0" : "+v"(sums[0].raw) : "v"(x.raw), "v"(w.raw)); }
};
#endif

constexpr int64_t kAhead =
    8192;  ///< bytes: one stream a thread, asked for this early, into the second-level cache; past all of them (nta) halves the speed
constexpr int64_t kLarge = int64_t{1} << 20;  ///< values from which on it pays to ask
constexpr int64_t kLeast = int64_t{1} << 17;  ///< values that are worth a second thread
constexpr int kTogether = 4;                  ///< outputs whose vectors of partial sums are added up at once
constexpr int64_t kTile = 16;                 ///< outputs that are finished at once
static_assert(kTile % kTogether == 0 && PackedMatrix::kGroup % kTogether == 0, "rows that are summed side by side share a table");

/// Partial sums of kOutputs rows of the matrix against kRows vectors.
template <int kRows, int kOutputs, class P>
struct Partial {
  using Values = typename P::Values;

  HWY_INLINE Partial() {
    for (auto& output : sums)
      for (auto& row : output)
        for (Vec& sum : row) sum = hn::Zero(kTag);
  }
  /// Adds the products of the next values of each row with those at `x` of each vector.
  HWY_INLINE void add(const Values (&values)[kOutputs], const typename P::Element* x, int64_t stride) {
    for (int r = 0; r < kRows; ++r) {
      const Values inputs = P::load(x + r * stride);
      for (int o = 0; o < kOutputs; ++o) P::add(values[o], inputs, sums[o][r]);
    }
  }
  HWY_INLINE void total(Vec (*out)[kRows]) const {
    for (int o = 0; o < kOutputs; ++o) {
      for (int r = 0; r < kRows; ++r) {
        out[o][r] = sums[o][r][0];
        for (int v = 1; v < P::kSums; ++v) out[o][r] = hn::Add(out[o][r], sums[o][r][v]);
      }
    }
  }

  Vec sums[kOutputs][kRows][P::kSums];
};

/// A few rows of the matrix that are summed side by side: `first` and those after it. From `last` on the one before it is read again.
struct RowRange {
  int64_t first, last;
  bool asks;  ///< for what comes kAhead bytes later
  [[nodiscard]] HWY_INLINE int64_t row(int64_t o) const { return std::min(first + o, last - 1); }
};

HWY_INLINE void ask_ahead(const void* p) { __builtin_prefetch(static_cast<const char*>(p) + kAhead, 0, 2); }

template <int kRows, int kOutputs, class P, class T>
HWY_INLINE void accumulate(const MatVec<T>& op, RowRange range, int64_t whole, Vec (*sums)[kRows]) {
  const T* w[kOutputs];
  for (int o = 0; o < kOutputs; ++o) w[o] = op.w + range.row(o) * op.in_features;
  Partial<kRows, kOutputs, P> partial;
  for (int64_t i = 0; i < whole; i += P::count()) {
    typename P::Values values[kOutputs];
    for (int o = 0; o < kOutputs; ++o) {
      if (range.asks) ask_ahead(w[o] + i);
      values[o] = P::load(w[o] + i);
    }
    partial.add(values, op.x + i, op.in_features);
  }
  partial.total(sums);
}

#if HWY_TARGET != HWY_SCALAR
/// The same sums in the same order, from the packed form of the rows, which are of one group.
template <int kRows, int kOutputs, class P>
HWY_INLINE void accumulate_packed(const MatVec<uint16_t>& op, RowRange range, Vec (*sums)[kRows]) {
  const hn::Repartition<uint8_t, decltype(kTag)> bytes;
  using Bytes = hn::Vec<decltype(bytes)>;
  const auto V = static_cast<int64_t>(hn::Lanes(bytes));
  const int64_t group = range.first / PackedMatrix::kGroup;
  const auto low_bits = hn::Set(bytes, 0x0f), table = hn::LoadDup128(bytes, op.packed.tables + group * PackedMatrix::kTableBytes);
  const uint64_t left_out = op.packed.any_left_out[group];
  const uint8_t* rows[kOutputs];
  for (int o = 0; o < kOutputs; ++o) rows[o] = op.packed.rows + range.row(o) * (op.in_features / 2 * 3);
  Partial<kRows, kOutputs, P> partial;
  for (int64_t block = 0; block * 2 * V < op.in_features; ++block) {
    Bytes codes[kOutputs];
    for (int o = 0; o < kOutputs; ++o) {
      if (range.asks)
        for (int64_t v = 0; v < 3; ++v) ask_ahead(rows[o] + v * V);
      codes[o] = hn::Load(bytes, rows[o] + 2 * V);
    }
    const uint64_t bit = PackedMatrix::bit_of(block);
    HWY_UNROLL(2)
    for (int64_t half = 0; half < 2; ++half) {
      Bytes low[kOutputs], high[kOutputs];
      for (int o = 0; o < kOutputs; ++o) {
        low[o] = hn::Load(bytes, rows[o] + half * V);
        high[o] = hn::TableLookupBytes(table, half == 0 ? hn::And(codes[o], low_bits) : hn::ShiftRight<4>(codes[o]));
      }
      HWY_UNROLL(2)
      for (int64_t quarter = 0; quarter < 2; ++quarter) {
        const int64_t place = block * 2 * V + half * V + quarter * (V / 2);
        typename P::Values values[kOutputs];
        for (int o = 0; o < kOutputs; ++o)
          values[o] = hn::BitCast(typename P::Tag(),
                                  quarter == 0 ? hn::InterleaveLower(bytes, low[o], high[o]) : hn::InterleaveUpper(bytes, low[o], high[o]));
        if (HWY_UNLIKELY((left_out & bit) != 0)) {
          for (int o = 0; o < kOutputs; ++o)
            if ((op.packed.left_out[range.row(o)] & bit) != 0) values[o] = P::load(op.w + range.row(o) * op.in_features + place);
        }
        partial.add(values, op.x + place, op.in_features);
      }
    }
    for (int o = 0; o < kOutputs; ++o) rows[o] += 3 * V;
  }
  partial.total(sums);
}
#endif

/// The sums of kOutputs outputs over whole vectors.
template <int kRows, int kOutputs, class P, class T>
HWY_INLINE void accumulate_outputs(const MatVec<T>& op, RowRange range, int64_t whole, Vec (*sums)[kRows]) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (sizeof(T) == sizeof(uint16_t)) {
    if (op.packed.tables != nullptr) return accumulate_packed<kRows, kOutputs, P>(op, range, sums);
  }
#endif
  accumulate<kRows, kOutputs, P>(op, range, whole, sums);
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

/// The sums of kTogether rows. `sums` has kTile places a row of x.
template <int kRows, class P, class T>
HWY_INLINE void dot(const MatVec<T>& op, int64_t whole, RowRange range, float* sums) {
  constexpr int kOutputs = kRows <= 2 ? kTogether : kTogether / 2;  // as many as there are registers for
  Vec parts[kTogether][kRows];
  for (int64_t o = 0; o < kTogether; o += kOutputs)
    accumulate_outputs<kRows, kOutputs, P>(op, {range.row(o), range.last, range.asks}, whole, parts + o);
  for (int r = 0; r < kRows; ++r) {
    float* row_sums = sums + r * kTile;
    add_lanes(parts[0][r], parts[1][r], parts[2][r], parts[3][r], row_sums);
    for (int64_t i = whole; i < op.in_features; ++i) {
      const float x = to_float(op.x[r * op.in_features + i]);
      for (int64_t o = 0; o < kTogether; ++o) row_sums[o] += to_float(op.w[range.row(o) * op.in_features + i]) * x;
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

template <int kRows, class P, class T>
void multiply(const MatVec<T>& op, int64_t begin, int64_t end) {
  const int64_t whole = op.in_features / P::count() * P::count();
  const bool asks = op.in_features * op.out_features >= kLarge;
  float sums[kRows][kTile] = {};
  for (int64_t first = begin; first < end; first += kTile) {
    const int64_t count = std::min(kTile, end - first);
    for (int64_t o = 0; o < count; o += kTogether) dot<kRows, P>(op, whole, {first + o, end, asks}, &sums[0][o]);
    for (int r = 0; r < kRows; ++r) finish(op, sums[r], r, first, count);
  }
}

template <class P, class T>
void multiply_rows(const MatVec<T>& op, int64_t begin, int64_t end) {
  switch (op.num_rows) {
    case 1:
      return multiply<1, P>(op, begin, end);
    case 2:
      return multiply<2, P>(op, begin, end);
    case 3:
      return multiply<3, P>(op, begin, end);
    default:
      return multiply<4, P>(op, begin, end);
  }
}

template <class P, class T>
void run(const MatVec<T>& op, const ParallelFor& parallel_for) {
  const int64_t tiles = (op.out_features + kTile - 1) / kTile;
  share_out(parallel_for, tiles, std::max<int64_t>(1, kLeast / (op.in_features * kTile)),
            [&](int64_t first, int64_t last) { multiply_rows<P>(op, first * kTile, std::min(op.out_features, last * kTile)); });
}

void matvec_f32(const MatVec<float>& op, const ParallelFor& parallel_for) { run<Floats>(op, parallel_for); }

void matvec_bf16(const MatVec<uint16_t>& op, const ParallelFor& parallel_for) {
#if HWY_TARGET == HWY_AVX3
  if (has_bf16_dot()) return run<NativePairs>(op, parallel_for);
#endif
  run<Pairs>(op, parallel_for);
}

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
