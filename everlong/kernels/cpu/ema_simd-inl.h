// What the forward and the backward scan share, once for each instruction set. Included by way of hwy/foreach_target.h: no #pragma once.
#if defined(EVERLONG_KERNELS_CPU_EMA_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVERLONG_KERNELS_CPU_EMA_SIMD_INL_H_
#undef EVERLONG_KERNELS_CPU_EMA_SIMD_INL_H_
#else
#define EVERLONG_KERNELS_CPU_EMA_SIMD_INL_H_
#endif

#include "everlong/kernels/cpu/scan_simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

#if HWY_ARCH_X86 && HWY_TARGET > HWY_AVX3
inline constexpr int kManyStates = 8;  // 16 vector registers
inline constexpr int kSteps = 2;
#else
inline constexpr int kManyStates = 16;  // 32 vector registers
inline constexpr int kSteps = 4;
#endif

/// One group of channels over one stretch of a tile. Pointers to parameters and states are packed: [N, lanes].
template <class In, class Out>
struct Scan : TileRows<In, Out> {
  const float* q = nullptr;
  const float* c = nullptr;
  float* state = nullptr;
};

template <int kSteps_, class In, class Out>
HWY_INLINE void load_inputs(const Scan<In, Out>& scan, int64_t t, Vec (&x)[kSteps_]) {
  HWY_UNROLL(4)
  for (int u = 0; u < kSteps_; ++u) x[u] = load(scan.x.at(t + u));
}

/// `x` holds the inputs of these steps, and afterwards those from step `next` on: they are read before the outputs are written.
template <int kStates, int kSteps_, class In, class Out>
HWY_INLINE void scan_steps(const Scan<In, Out>& scan, int64_t t, int64_t next, Vec (&s)[kStates], Vec (&x)[kSteps_]) {
  Vec y[kSteps_];
  HWY_UNROLL(4)
  for (int u = 0; u < kSteps_; ++u) {
    y[u] = scan.add_to_sums ? load(scan.sums + (t + u) * kLanes) : hn::Zero(kTag);
  }
  HWY_UNROLL(16)
  for (int n = 0; n < kStates; ++n) {
    const Vec q = load(scan.q + n * kLanes), c = load(scan.c + n * kLanes);
    HWY_UNROLL(4)
    for (int u = 0; u < kSteps_; ++u) {
      s[n] = hn::MulAdd(q, s[n], x[u]);
      y[u] = hn::MulAdd(c, s[n], y[u]);
    }
  }
  load_inputs(scan, next, x);
  HWY_UNROLL(4)
  for (int u = 0; u < kSteps_; ++u) write_output(scan, t + u, y[u]);
}

template <int kStates, class In, class Out>
HWY_NOINLINE void scan_states(const Scan<In, Out>& call, int64_t begin, int64_t end, Prefetcher& prefetcher) {
  const Scan<In, Out> scan = call;
  Prefetcher ahead = prefetcher;
  Vec s[kStates];
  HWY_UNROLL(16)
  for (int n = 0; n < kStates; ++n) s[n] = load(scan.state + n * kLanes);
  int64_t t = begin;
  if (t + kSteps <= end) {
    Vec x[kSteps];
    load_inputs(scan, t, x);
    for (; t + kSteps <= end; t += kSteps) {
      for (int i = 0; i < lines_in<In>(kSteps); ++i) ahead.next();
      scan_steps<kStates, kSteps>(scan, t, std::min(t + kSteps, end - kSteps), s, x);
    }
  }
  for (; t < end; ++t) {
    Vec x[1];
    load_inputs(scan, t, x);
    scan_steps<kStates, 1>(scan, t, t, s, x);
  }
  HWY_UNROLL(16)
  for (int n = 0; n < kStates; ++n) store(s[n], scan.state + n * kLanes);
  prefetcher = ahead;
}

/// Scans steps [begin, end) of one group of channels with all its states, in blocks that fit the registers.
template <class In, class Out>
void scan_group(Scan<In, Out> scan, int64_t ema_ndim, int64_t begin, int64_t end, Prefetcher& prefetcher) {
  Prefetcher none;
  Prefetcher* ahead = &prefetcher;
  for (int64_t left = ema_ndim; left > 0;) {
    const int64_t block = left >= kManyStates ? kManyStates : left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
    scan.last = block == left;
    if (block == kManyStates) {
      scan_states<kManyStates>(scan, begin, end, *ahead);
    } else if (block == 8) {
      scan_states<8>(scan, begin, end, *ahead);
    } else if (block == 4) {
      scan_states<4>(scan, begin, end, *ahead);
    } else if (block == 2) {
      scan_states<2>(scan, begin, end, *ahead);
    } else {
      scan_states<1>(scan, begin, end, *ahead);
    }
    scan.q += block * kLanes;
    scan.c += block * kLanes;
    scan.state += block * kLanes;
    scan.add_to_sums = true;
    left -= block;
    ahead = &none;
  }
}

/// Adds the decay of a vector of states to sums[begin, end): sums_t += sum_n m_n ; m_n *= q_n.
inline void add_decay(float* sums, const float* q, float* m, int64_t ema_ndim, int64_t begin, int64_t end) {
  for (int64_t n = 0; n < ema_ndim; ++n) {
    Vec value = load(m + n * kLanes);
    const Vec factor = load(q + n * kLanes);
    for (int64_t t = begin; t < end; ++t) {
      store(hn::Add(load(sums + t * kLanes), value), sums + t * kLanes);
      value = hn::Mul(value, factor);
    }
    store(value, m + n * kLanes);
  }
}

/// The scan of one batch row over groups [first_group, last_group), all steps. Packed arrays begin at group 0.
template <class T>
struct RowScan {
  Lane<const T> x;  ///< at channel 0
  Lane<T> y;        ///< at channel 0
  Restarts restarts;
  int64_t steps = 0;
  int64_t model_dim = 0;
  int64_t ema_ndim = 0;
  const float* q = nullptr;
  const float* c = nullptr;
  float* state = nullptr;
  float* decay = nullptr;  ///< null, or states whose decay is added to y: they take no input
  bool stream_output = false;
};

template <class In, class Out, class T>
void scan_tile(const RowScan<T>& row, const TileRows<In, Out>& rows, int64_t group, int64_t tile, int64_t end, bool whole, Prefetcher& ahead) {
  const int64_t packed = group * row.ema_ndim * kLanes;
  Scan<In, Out> scan = {rows, row.q + packed, row.c + packed, row.state + packed};
  const size_t state_bytes = static_cast<size_t>(row.ema_ndim * kLanes) * sizeof(float);
  for (int64_t begin = tile; begin < end;) {
    const int64_t stop = whole ? end : row.restarts.next(begin, end);
    float* decay = row.decay == nullptr ? nullptr : row.decay + packed;
    if (row.restarts.before(begin)) {
      std::memset(scan.state, 0, state_bytes);
      if (decay != nullptr) std::memset(decay, 0, state_bytes);
    }
    scan.add_to_sums = decay != nullptr;
    if (decay != nullptr) {
      std::memset(scan.sums + (begin - tile) * kLanes, 0, static_cast<size_t>((stop - begin) * kLanes) * sizeof(float));
      add_decay(scan.sums, scan.q, decay, row.ema_ndim, begin - tile, stop - tile);
    }
    scan_group(scan, row.ema_ndim, begin - tile, stop - tile, ahead);
    begin = stop;
  }
}

}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
