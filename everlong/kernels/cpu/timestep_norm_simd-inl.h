// What the forward and the backward timestep norm share, once for each instruction set. Included by way of hwy/foreach_target.h: no #pragma once.
#if defined(EVERLONG_KERNELS_CPU_TIMESTEP_NORM_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVERLONG_KERNELS_CPU_TIMESTEP_NORM_SIMD_INL_H_
#undef EVERLONG_KERNELS_CPU_TIMESTEP_NORM_SIMD_INL_H_
#else
#define EVERLONG_KERNELS_CPU_TIMESTEP_NORM_SIMD_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include "everlong/kernels/cpu/bfloat16.h"
#include "everlong/kernels/cpu/timestep_norm.h"

#ifndef EVERLONG_VECTOR_BODY
/// Of a lambda that is the body of a vector loop: compiled for the loop's instruction set, and into the loop.
#define EVERLONG_VECTOR_BODY HWY_ATTR __attribute__((always_inline))
#endif

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {
namespace tsn {

namespace hn = hwy::HWY_NAMESPACE;

inline constexpr int64_t kLanes = HWY_MIN(HWY_LANES(float), 16);
using Tag = hn::CappedTag<float, 16>;
using Eight = hn::CappedTag<float, 8>;
using Four = hn::CappedTag<float, 4>;
using One = hn::FixedTag<float, 1>;
using Wide = hn::CappedTag<double, 8>;
using WideFloats = hn::Rebind<float, Wide>;

inline constexpr int64_t kLine = 64;         // bytes of a cache line
inline constexpr int64_t kGroupBlock = 256;  // groups that pass together
inline constexpr int64_t kCells = 2048;      // tokens of a tile x groups of a block
inline constexpr int64_t kMaxTile = 64;      // tokens
inline constexpr int64_t kRowBlock = 1024;   // features that are written together

/// Rows of cells are padded to whole vectors of doubles.
inline int64_t padded(int64_t groups) { return (groups + 7) / 8 * 8; }

template <class D>
HWY_INLINE hn::Vec<D> load(D tag, const float* p) {
  return hn::LoadU(tag, p);
}
template <class D>
HWY_INLINE hn::Vec<D> load(D tag, const uint16_t* p) {
  const hn::RebindToUnsigned<D> bits;
  return hn::BitCast(tag, hn::ShiftLeft<16>(hn::PromoteTo(bits, hn::LoadU(hn::Rebind<uint16_t, D>(), p))));
}

/// Rounds to the nearest bfloat16, ties to even; NaN stays NaN.
template <class D>
HWY_INLINE hn::Vec<hn::Rebind<uint16_t, D>> to_bfloat16(D /*tag*/, hn::Vec<D> v) {
  const hn::RebindToUnsigned<D> bits;
  const auto u = hn::BitCast(bits, v);
  const auto odd = hn::And(hn::ShiftRight<16>(u), hn::Set(bits, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(u, odd), hn::Set(bits, 0x7fff)));
  const auto is_nan = hn::RebindMask(bits, hn::IsNaN(v));
  return hn::TruncateTo(hn::Rebind<uint16_t, D>(), hn::IfThenElse(is_nan, hn::Set(bits, 0x7fc0), rounded));
}
template <class D>
HWY_INLINE void store(D tag, hn::Vec<D> v, float* p) {
  hn::StoreU(v, tag, p);
}
template <class D>
HWY_INLINE void store(D tag, hn::Vec<D> v, uint16_t* p) {
  hn::StoreU(to_bfloat16(tag, v), hn::Rebind<uint16_t, D>(), p);
}
HWY_INLINE void stream(hn::Vec<Tag> v, float* p) { hn::Stream(v, Tag(), p); }
HWY_INLINE void stream(hn::Vec<Tag> v, uint16_t* p) { hn::Stream(to_bfloat16(Tag(), v), hn::Rebind<uint16_t, Tag>(), p); }

/// Calls body(tag, i) for vectors that cover [0, width) without a lane too many: whole ones, then halves, then single values.
template <class Body>
HWY_INLINE void pieces(int64_t width, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) body(Tag(), i);
  if (kLanes > 8 && i + 8 <= width) {
    body(Eight(), i);
    i += 8;
  }
  if (kLanes > 4 && i + 4 <= width) {
    body(Four(), i);
    i += 4;
  }
  for (; i < width; ++i) body(One(), i);
}

struct TwoSums {
  float first = 0, second = 0;
};

/// Two sums, each as four that are still to be added up, over the first `done` features of a group.
struct FourSums {
  hn::Vec<Four> first, second;
  int64_t done;
};

/// Sums two values over the features of a group; body(tag, i, first, second) adds those of one vector to its arguments.
template <class Body>
HWY_INLINE FourSums four_sums(int64_t width, const Body& body) {
  auto a = hn::Zero(Tag()), b = hn::Zero(Tag());
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) body(Tag(), i, a, b);
#if HWY_MAX_BYTES >= 64
  const Eight eight;
  auto a8 = hn::Add(hn::LowerHalf(eight, a), hn::UpperHalf(eight, a)), b8 = hn::Add(hn::LowerHalf(eight, b), hn::UpperHalf(eight, b));
  if (i + 8 <= width) {
    body(eight, i, a8, b8);
    i += 8;
  }
#else
  const auto a8 = a, b8 = b;
#endif
#if HWY_MAX_BYTES >= 32
  const Four four;
  auto a4 = hn::Add(hn::LowerHalf(four, a8), hn::UpperHalf(four, a8)), b4 = hn::Add(hn::LowerHalf(four, b8), hn::UpperHalf(four, b8));
  if (i + 4 <= width) {
    body(four, i, a4, b4);
    i += 4;
  }
  return {a4, b4, i};
#else
  return {a8, b8, i};
#endif
}

template <class Body>
HWY_INLINE TwoSums two_sums(int64_t width, const Body& body) {
  const FourSums sums = four_sums(width, body);
  auto a = hn::Set(One(), hn::GetLane(hn::SumOfLanes(Four(), sums.first))), b = hn::Set(One(), hn::GetLane(hn::SumOfLanes(Four(), sums.second)));
  for (int64_t i = sums.done; i < width; ++i) body(One(), i, a, b);
  return {hn::GetLane(a), hn::GetLane(b)};
}

/// Stores the sums as four each: adding up those of many groups at once is cheaper.
template <class Body>
HWY_INLINE void store_four_sums(int64_t width, float* first, float* second, const Body& body) {
  const FourSums sums = four_sums(width, body);
  hn::Store(sums.first, Four(), first);
  hn::Store(sums.second, Four(), second);
  for (int64_t i = sums.done; i < width; ++i) {
    auto a = hn::Load(One(), first), b = hn::Load(One(), second);
    body(One(), i, a, b);
    hn::Store(a, One(), first);
    hn::Store(b, One(), second);
  }
}

/// totals[g] = the sum of fours[4 g .. 4 g + 3].
HWY_INLINE void add_up_fours(const float* fours, int64_t groups, float* totals) {
  for (int64_t g = 0; g < groups; g += kLanes) {
    hn::Vec<Tag> a, b, c, d;
    hn::LoadInterleaved4(Tag(), fours + 4 * g, a, b, c, d);
    hn::Store(hn::Add(hn::Add(a, b), hn::Add(c, d)), Tag(), totals + g);
  }
}

/// A mean as the sum of two floats, so that a large offset costs no digits of x - mean.
struct SplitMean {
  explicit SplitMean(double mean) : high(static_cast<float>(mean)), low(static_cast<float>(mean - static_cast<double>(high))) {}
  float high, low;

  template <class D>
  HWY_INLINE hn::Vec<D> centred(D tag, hn::Vec<D> x) const {
    return hn::Sub(hn::Sub(x, hn::Set(tag, high)), hn::Set(tag, low));
  }
};

/// Some groups of one batch row: what a thread works on at a time.
struct Block {
  int64_t b = 0;
  int64_t first = 0;   ///< group
  int64_t groups = 0;  ///< at most kGroupBlock
  int64_t width = 0;   ///< features of a group

  [[nodiscard]] int64_t channel() const { return first * width; }
  [[nodiscard]] int64_t channels() const { return groups * width; }
  [[nodiscard]] int64_t stride() const { return padded(groups); }  ///< of cells
};

/// Cuts items [begin, end) of batch rows x groups into blocks.
template <class Body>
void each_block(const TimestepNormShape& shape, int64_t begin, int64_t end, const Body& body) {
  while (begin < end) {
    const int64_t first = begin % shape.num_groups, groups = std::min({shape.num_groups - first, end - begin, kGroupBlock});
    body(Block{begin / shape.num_groups, first, groups, shape.model_dim / shape.num_groups});
    begin += groups;
  }
}

/// Groups that are worth a thread of their own.
inline int64_t grain(const TimestepNormShape& shape) { return std::max<int64_t>(1, 16384 / (shape.seq_len * (shape.model_dim / shape.num_groups))); }

/// Tokens whose rows stay in the cache between passes; depends on the shape alone, and so do the sums of a tile.
template <class T>
int64_t tile_of(const TimestepNormShape& shape) {
  constexpr int64_t kTileBytes = 128 << 10;
  const int64_t cells = kCells / padded(std::min(shape.num_groups, kGroupBlock));
  return std::clamp<int64_t>(std::min(cells, kTileBytes / (shape.model_dim * static_cast<int64_t>(sizeof(T)))), 4, kMaxTile);
}

/// Counts the tokens of one batch row and says what each weighs in the statistics.
class Shares {
 public:
  Shares(const TimestepNormShape& shape, int64_t b)
      : restart_(shape.restart == nullptr ? nullptr : shape.restart + b * shape.seq_len),
        mask_(shape.mask == nullptr ? nullptr : shape.mask + b * shape.seq_len),
        len_(shape.lengths == nullptr ? shape.seq_len : std::clamp<int64_t>(shape.lengths[b], 0, shape.seq_len)),
        cap_(shape.count_cap > 0 ? shape.count_cap : INT64_MAX),
        count_(shape.count_in == nullptr ? 0 : shape.count_in[b]) {}

  /// 1 / n for the next token; 1 = all before it is forgotten, 0 = padding.
  double next(int64_t t) {
    if (t >= len_ || (mask_ != nullptr && !mask_[t])) return 0;
    if (restart_ != nullptr && restart_[t]) count_ = 0;
    return 1 / static_cast<double>(std::min(++count_, cap_));
  }
  [[nodiscard]] int64_t count() const { return count_; }

 private:
  const bool* restart_;
  const bool* mask_;
  int64_t len_, cap_, count_;
};

template <class T, class Pointer>
T* row_at(const Rows<Pointer>& rows, int64_t b, int64_t t, int64_t channel) {
  return static_cast<T*>(rows.data) + b * rows.batch_stride + t * rows.time_stride + channel;
}

/// Asks for a row that comes later.
template <class T>
HWY_INLINE void prefetch(const T* row, int64_t count) {
  const char* bytes = reinterpret_cast<const char*>(row);
  for (int64_t i = 0; i < count * static_cast<int64_t>(sizeof(T)); i += kLine) __builtin_prefetch(bytes + i, 0, 2);
}

/// Writes `count` values, whole cache lines past the caches.
template <class T>
HWY_INLINE void stream_row(const float* source, T* target, int64_t count) {
  constexpr int64_t kStep = kLine / static_cast<int64_t>(sizeof(T));
  const auto misplaced = static_cast<int64_t>(reinterpret_cast<uintptr_t>(target) % kLine / sizeof(T));
  int64_t i = std::min((kStep - misplaced) % kStep, count);
  pieces(i, [&](auto tag, int64_t j) EVERLONG_VECTOR_BODY { store(tag, hn::LoadU(tag, source + j), target + j); });
  for (; i + kStep <= count; i += kStep) {
    for (int64_t j = i; j < i + kStep; j += kLanes) stream(hn::LoadU(Tag(), source + j), target + j);
  }
  pieces(count - i, [&](auto tag, int64_t j) EVERLONG_VECTOR_BODY { store(tag, hn::LoadU(tag, source + i + j), target + i + j); });
}

/// Whether an output is large enough to leave the caches anyway.
template <class T>
bool should_stream(const TimestepNormShape& shape) {
  constexpr int64_t kLargeBytes = 16 << 20;
  return shape.batch_size * shape.seq_len * shape.model_dim * static_cast<int64_t>(sizeof(T)) >= kLargeBytes;
}

/// Writes the features of a block for one token; fill(group, begin, end, target) writes features begin .. end of a group of the block.
template <class T, class Fill>
HWY_INLINE void write_row(const Block& block, T* target, bool past_caches, const Fill& fill) {
  if (!past_caches) {
    for (int64_t g = 0; g < block.groups; ++g) fill(g, int64_t{0}, block.width, target + g * block.width);
    return;
  }
  HWY_ALIGN float row[kRowBlock];
  int64_t group = 0, begin = 0;
  for (int64_t done = 0; done < block.channels();) {
    const int64_t count = std::min(kRowBlock, block.channels() - done);
    for (int64_t filled = 0; filled < count;) {
      const int64_t end = std::min(block.width, begin + count - filled);
      fill(group, begin, end, row + filled);
      filled += end - begin;
      begin = end == block.width ? 0 : end;
      group += end == block.width ? 1 : 0;
    }
    stream_row(row, target + done, count);
    done += count;
  }
}

}  // namespace tsn
}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
