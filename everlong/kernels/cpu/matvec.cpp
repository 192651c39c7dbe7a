#include "everlong/kernels/cpu/matvec.h"

#include <algorithm>
#include <vector>

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

/// The vectors, spread for the element type: fp32 as they are; bfloat16 with the even and the odd places of a pair of vectors apart, as shifting
/// and masking whole words of the matrix leaves them.
template <class T>
struct Spread;

constexpr int64_t kAhead = 2048;  ///< bytes: one stream a thread, asked for this early; into all caches: past them (nta) it halves the speed

template <>
struct Spread<float> {
  static constexpr int64_t kVectors = 1;
  static HWY_INLINE void load(const float* w, Vec (&out)[1]) { out[0] = hn::LoadU(kTag, w); }
  static int64_t place(int64_t i, int64_t /*lanes*/) { return i; }
};

template <>
struct Spread<uint16_t> {
  static constexpr int64_t kVectors = 2;
  static HWY_INLINE void load(const uint16_t* w, Vec (&out)[2]) {
    const hn::RebindToUnsigned<decltype(kTag)> words;
    const auto pair = hn::LoadU(words, reinterpret_cast<const uint32_t*>(w));
    out[0] = hn::BitCast(kTag, hn::ShiftLeft<16>(pair));
    out[1] = hn::BitCast(kTag, hn::And(pair, hn::Set(words, 0xffff0000u)));
  }
  static int64_t place(int64_t i, int64_t lanes) {
    const int64_t block = i / (2 * lanes) * (2 * lanes), within = i - block;
    return block + within / 2 + (within % 2) * lanes;
  }
};

/// Rows [begin, end) of the matrix against kRows vectors, which lie spread in `x`, each of `padded` floats.
template <int kRows, class T>
void multiply(const MatVec<T>& op, const float* x, int64_t padded, int64_t begin, int64_t end) {
  constexpr int64_t kVectors = Spread<T>::kVectors;
  const int64_t lanes = row::lanes(), step = kVectors * lanes, whole = op.in_features / step * step;
  for (int64_t o = begin; o < end; ++o) {
    const T* w = op.w + o * op.in_features;
    Vec sums[kRows][kVectors];
    for (int r = 0; r < kRows; ++r)
      for (int64_t v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(kTag);
    for (int64_t i = 0; i < whole; i += step) {
      __builtin_prefetch(reinterpret_cast<const char*>(w + i) + kAhead, 0, 3);
      Vec values[kVectors];
      Spread<T>::load(w + i, values);
      for (int r = 0; r < kRows; ++r)
        for (int64_t v = 0; v < kVectors; ++v) sums[r][v] = hn::MulAdd(values[v], hn::LoadU(kTag, x + r * padded + i + v * lanes), sums[r][v]);
    }
    for (int r = 0; r < kRows; ++r) {
      auto all = sums[r][0];
      for (int64_t v = 1; v < kVectors; ++v) all = hn::Add(all, sums[r][v]);
      float sum = row::sum(all) + (op.bias == nullptr ? 0.0f : to_float(op.bias[o]));
      for (int64_t i = whole; i < op.in_features; ++i) sum += to_float(w[i]) * x[r * padded + i];
      from_float(sum, op.y + r * op.out_features + o);
    }
  }
}

template <class T>
int64_t spread(const MatVec<T>& op, std::vector<float>& x) {
  const int64_t lanes = row::lanes(), step = Spread<T>::kVectors * lanes, whole = op.in_features / step * step;
  x.resize(static_cast<size_t>(op.num_rows * op.in_features));
  for (int64_t r = 0; r < op.num_rows; ++r)
    for (int64_t i = 0; i < op.in_features; ++i) {
      const int64_t place = i < whole ? Spread<T>::place(i, lanes) : i;
      x[static_cast<size_t>(r * op.in_features + place)] = to_float(op.x[r * op.in_features + i]);
    }
  return op.in_features;
}

template <class T>
void run(const MatVec<T>& op, const ParallelFor& parallel_for) {
  std::vector<float> x;
  const int64_t padded = spread(op, x);
  const int64_t grain = std::max<int64_t>(1, (int64_t{1} << 16) / std::max<int64_t>(1, op.in_features));
  parallel_for(0, op.out_features, grain, [&](int64_t begin, int64_t end) {
    switch (op.num_rows) {
      case 1: return multiply<1>(op, x.data(), padded, begin, end);
      case 2: return multiply<2>(op, x.data(), padded, begin, end);
      case 3: return multiply<3>(op, x.data(), padded, begin, end);
      default: return multiply<4>(op, x.data(), padded, begin, end);
    }
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
