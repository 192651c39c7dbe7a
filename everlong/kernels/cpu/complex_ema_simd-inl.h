// What the forward and the backward complex scan share, once for each instruction set. Included by way of hwy/foreach_target.h: no #pragma once.
#if defined(EVERLONG_KERNELS_CPU_COMPLEX_EMA_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVERLONG_KERNELS_CPU_COMPLEX_EMA_SIMD_INL_H_
#undef EVERLONG_KERNELS_CPU_COMPLEX_EMA_SIMD_INL_H_
#else
#define EVERLONG_KERNELS_CPU_COMPLEX_EMA_SIMD_INL_H_
#endif

#include "everlong/kernels/cpu/complex_ema.h"
#include "everlong/kernels/cpu/scan_simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

#if HWY_ARCH_X86 && HWY_TARGET > HWY_AVX3
inline constexpr int kComplexStates = 2;  // states, q and c of so many orders stay in 16 vector registers
#else
inline constexpr int kComplexStates = 4;  // likewise in 32
#endif

/// Complex numbers of so many orders.
template <int kStates>
struct ComplexVectors {
  Vec re[kStates], im[kStates];

  /// Packed numbers are [N, 2, lanes].
  HWY_INLINE void load_from(const float* packed) {
    HWY_UNROLL(4)
    for (int n = 0; n < kStates; ++n) {
      re[n] = load(packed + 2 * n * kLanes);
      im[n] = load(packed + (2 * n + 1) * kLanes);
    }
  }
  HWY_INLINE void store_to(float* packed) const {
    HWY_UNROLL(4)
    for (int n = 0; n < kStates; ++n) {
      store(re[n], packed + 2 * n * kLanes);
      store(im[n], packed + (2 * n + 1) * kLanes);
    }
  }
  HWY_INLINE void set_zero() {
    HWY_UNROLL(4)
    for (int n = 0; n < kStates; ++n) re[n] = im[n] = hn::Zero(kTag);
  }
  /// z_n := q_n z_n + (add_re, add_im)
  HWY_INLINE void turn(const ComplexVectors& q, int n, Vec add_re, Vec add_im) {
    const Vec next = hn::NegMulAdd(q.im[n], im[n], hn::MulAdd(q.re[n], re[n], add_re));
    im[n] = hn::MulAdd(q.im[n], re[n], hn::MulAdd(q.re[n], im[n], add_im));
    re[n] = next;
  }
  /// z_n := q_n z_n + add_re
  HWY_INLINE void turn(const ComplexVectors& q, int n, Vec add_re) {
    const Vec next = hn::NegMulAdd(q.im[n], im[n], hn::MulAdd(q.re[n], re[n], add_re));
    im[n] = hn::MulAdd(q.re[n], im[n], hn::Mul(q.im[n], re[n]));
    re[n] = next;
  }
};

/// One group of channels over one stretch of a tile. Pointers to parameters and states are packed: [N, 2, lanes].
template <class In, class Out>
struct ComplexScan : TileRows<In, Out> {
  const float* q = nullptr;
  const float* c = nullptr;
  float* state = nullptr;
  const float* omega = nullptr;  ///< [lanes]
  float* kept = nullptr;         ///< [steps, lanes]: inputs as floats without gaps: what the first block of states reads, the others find here
};

/// kFirst: the block that reads the rows and adds omega x. `x` is the input of step t, and afterwards that of step `next`: it is read before
/// the output is written.
template <int kStates, bool kFirst, class In, class Out>
HWY_INLINE void complex_step(const ComplexScan<In, Out>& scan, int64_t t, int64_t next, const ComplexVectors<kStates>& q,
                             const ComplexVectors<kStates>& c, Vec omega, ComplexVectors<kStates>& h, Vec& x) {
  Vec y = scan.add_to_sums ? load(scan.sums + t * kLanes) : hn::Zero(kTag);
  if constexpr (kFirst) {
    y = hn::MulAdd(omega, x, y);
    store(x, scan.kept + t * kLanes);
  }
  h.turn(q, 0, x);
  y = hn::MulAdd(c.re[0], h.re[0], y);
  Vec less = hn::Mul(c.im[0], h.im[0]);
  HWY_UNROLL(4)
  for (int n = 1; n < kStates; ++n) {
    h.turn(q, n, x);
    y = hn::MulAdd(c.re[n], h.re[n], y);
    less = hn::MulAdd(c.im[n], h.im[n], less);
  }
  y = hn::Sub(y, less);
  x = load(scan.x.at(next));
  write_output(scan, t, y);
}

template <int kStates, bool kFirst, class In, class Out>
HWY_NOINLINE void complex_states(const ComplexScan<In, Out>& call, int64_t begin, int64_t end, Prefetcher& prefetcher) {
  constexpr int kUnrolled = kLanes * sizeof(In) < kLine ? 2 : 1;  // steps to a line
  const ComplexScan<In, Out> scan = call;
  Prefetcher ahead = prefetcher;
  ComplexVectors<kStates> q, c, h;
  q.load_from(scan.q);
  c.load_from(scan.c);
  h.load_from(scan.state);
  const Vec omega = load(scan.omega);
  Vec x = load(scan.x.at(begin));
  int64_t t = begin;
  for (; t + kUnrolled <= end; t += kUnrolled) {
    if constexpr (kFirst) {
      for (int i = 0; i < lines_in<In>(kUnrolled); ++i) ahead.next();
    }
    HWY_UNROLL(2)
    for (int u = 0; u < kUnrolled; ++u) complex_step<kStates, kFirst>(scan, t + u, std::min(t + u + 1, end - 1), q, c, omega, h, x);
  }
  for (; t < end; ++t) complex_step<kStates, kFirst>(scan, t, std::min(t + 1, end - 1), q, c, omega, h, x);
  h.store_to(scan.state);
  if constexpr (kFirst) prefetcher = ahead;
}

/// One block of states, as many as fit the registers. Returns how many, and moves `scan` past them.
template <bool kFirst, class In, class Out>
int64_t complex_block(ComplexScan<In, Out>& scan, int64_t left, int64_t begin, int64_t end, Prefetcher& ahead) {
  const int64_t block = left >= kComplexStates ? kComplexStates : left >= 2 ? 2 : 1;
  scan.last = block == left;
  if (block == kComplexStates) {
    complex_states<kComplexStates, kFirst>(scan, begin, end, ahead);
  } else if (block == 2) {
    complex_states<2, kFirst>(scan, begin, end, ahead);
  } else {
    complex_states<1, kFirst>(scan, begin, end, ahead);
  }
  scan.q += block * 2 * kLanes;
  scan.c += block * 2 * kLanes;
  scan.state += block * 2 * kLanes;
  return block;
}

/// Scans steps [begin, end) of one group of channels with all its states, in blocks that fit the registers.
template <class In, class Out>
void complex_group(ComplexScan<In, Out> scan, int64_t ema_ndim, int64_t begin, int64_t end, Prefetcher& ahead) {
  int64_t left = ema_ndim - complex_block<true>(scan, ema_ndim, begin, end, ahead);
  const TileRows<float, Out> rows = {{scan.kept, kLanes}, scan.y, scan.sums, true, false, scan.output, scan.held};
  ComplexScan<float, Out> rest = {rows, scan.q, scan.c, scan.state, scan.omega, scan.kept};
  while (left > 0) left -= complex_block<false>(rest, left, begin, end, ahead);
}

/// Adds the decay of a vector of states to sums[begin, end): sums_t += sum_n Re(m_n) ; m_n *= q_n.
inline void add_complex_decay(float* sums, const float* q, float* m, int64_t ema_ndim, int64_t begin, int64_t end) {
  for (int64_t n = 0; n < ema_ndim; ++n) {
    ComplexVectors<1> value, factor;
    value.load_from(m + 2 * n * kLanes);
    factor.load_from(q + 2 * n * kLanes);
    for (int64_t t = begin; t < end; ++t) {
      store(hn::Add(load(sums + t * kLanes), value.re[0]), sums + t * kLanes);
      value.turn(factor, 0, hn::Zero(kTag));
    }
    value.store_to(m + 2 * n * kLanes);
  }
}

/// The scan of one batch row over a range of groups, all steps. Packed arrays begin at group 0.
template <class T>
struct ComplexRow {
  Lane<const T> x;  ///< at channel 0
  Lane<T> y;        ///< at channel 0
  Restarts restarts;
  int64_t steps = 0;
  int64_t model_dim = 0;
  int64_t ema_ndim = 0;
  const float* q = nullptr;
  const float* c = nullptr;
  const float* omega = nullptr;
  float* state = nullptr;
  float* decay = nullptr;  ///< null, or states whose decay is added to y: they take no input
  bool stream_output = false;
};

template <class In, class Out, class T>
void scan_tile(const ComplexRow<T>& row, const TileRows<In, Out>& rows, int64_t group, int64_t tile, int64_t end, bool whole, Prefetcher& ahead) {
  HWY_ALIGN float kept[kTile * kLanes];
  const int64_t packed = group * row.ema_ndim * 2 * kLanes;
  ComplexScan<In, Out> scan = {rows, row.q + packed, row.c + packed, row.state + packed, row.omega + group * kLanes, kept};
  float* decay = row.decay == nullptr ? nullptr : row.decay + packed;
  const size_t state_bytes = static_cast<size_t>(row.ema_ndim * 2 * kLanes) * sizeof(float);
  for (int64_t begin = tile; begin < end;) {
    const int64_t stop = whole ? end : row.restarts.next(begin, end);
    if (row.restarts.before(begin)) {
      std::memset(scan.state, 0, state_bytes);
      if (decay != nullptr) std::memset(decay, 0, state_bytes);
    }
    scan.add_to_sums = decay != nullptr;
    if (decay != nullptr) {
      std::memset(scan.sums + (begin - tile) * kLanes, 0, static_cast<size_t>((stop - begin) * kLanes) * sizeof(float));
      add_complex_decay(scan.sums, scan.q, decay, row.ema_ndim, begin - tile, stop - tile);
    }
    complex_group(scan, row.ema_ndim, begin - tile, stop - tile, ahead);
    begin = stop;
  }
}

/// Packs the parameters of groups [begin, end): q, c [groups, N, 2, lanes] and omega [groups, lanes], one after the other.
inline void pack_parameters(const EmaShape& shape, const float* q, const float* c, const float* omega, float* packed, int64_t begin, int64_t end) {
  const int64_t groups = groups_of(shape.model_dim), size = 2 * shape.ema_ndim * kLanes;
  for (int64_t group = begin; group < end; ++group) {
    pack(q, group, shape.model_dim, 2 * shape.ema_ndim, packed + group * size);
    pack(c, group, shape.model_dim, 2 * shape.ema_ndim, packed + (groups + group) * size);
    pack(omega, group, shape.model_dim, 1, packed + 2 * groups * size + group * kLanes);
  }
}

/// Where pack_parameters() puts them.
struct PackedParameters {
  const float* q;
  const float* c;
  const float* omega;
};

inline int64_t packed_parameters_size(const EmaShape& shape) { return groups_of(shape.model_dim) * (4 * shape.ema_ndim + 1) * kLanes; }

inline PackedParameters packed_parameters(const EmaShape& shape, const float* packed) {
  const int64_t size = groups_of(shape.model_dim) * 2 * shape.ema_ndim * kLanes;
  return {packed, packed + size, packed + 2 * size};
}

}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
