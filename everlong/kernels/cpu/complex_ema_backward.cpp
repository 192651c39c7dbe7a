#include "everlong/kernels/cpu/complex_ema.h"

#include "everlong/kernels/cpu/denormals.h"

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "everlong/kernels/cpu/complex_ema_backward.cpp"
#include <hwy/foreach_target.h>

#include "everlong/kernels/cpu/complex_ema_simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

inline constexpr int kSummedStates = kComplexStates / 2;  // ten vectors a state stay in registers

/// Packed arrays of one batch row, [groups, N, 2, lanes], after the parameters that the rows share.
struct ComplexWork {
  float* state;      ///< h
  float* slope;      ///< e = dh/dq
  float* sum_c;      ///< sum of dy h
  float* sum_q;      ///< sum of dy e
  float* reverse;    ///< sum of q^(s-t) dy_s, the reverse scan's state
  float* decay;      ///< what is left of conj(dstate_out)
  float* sum_omega;  ///< [groups, lanes]: sum of dy x
};

inline constexpr int64_t kComplexWorkArrays = 6;

inline ComplexWork complex_work_of(const ComplexEmaBackward& call, int64_t b) {
  const int64_t padded = groups_of(call.shape.model_dim) * kLanes, size = padded * 2 * call.shape.ema_ndim;
  float* base = call.workspace + packed_parameters_size(call.shape) + (kComplexWorkArrays * size + padded) * b;
  return {base, base + size, base + 2 * size, base + 3 * size, base + 4 * size, base + 5 * size, base + 6 * size};
}

/// One group of channels over one stretch of a tile, for the sums of the parameters' gradients. Pointers are packed: [N, 2, lanes].
template <class T>
struct ComplexSums {
  Lane<const T> x;
  Lane<const T> dy;
  const float* q = nullptr;
  float* state = nullptr;
  float* slope = nullptr;
  float* sum_c = nullptr;
  float* sum_q = nullptr;
  float* sum_omega = nullptr;

  void skip(int64_t states) {
    for (float** array : {&state, &slope, &sum_c, &sum_q}) *array += states * 2 * kLanes;
    q += states * 2 * kLanes;
  }
};

/// x and dy of a tile as floats without gaps: what the first block of states reads, the others find here.
struct ComplexKept {
  HWY_ALIGN float x[kTile * kLanes];
  HWY_ALIGN float dy[kTile * kLanes];
};

struct ComplexAhead {
  Prefetcher x;
  Prefetcher dy;
};

template <int kStates>
struct ComplexSumVectors {
  ComplexVectors<kStates> h, e, sum_c, sum_q;
};

/// kFirst: the block that reads the rows, keeps them and sums dy x.
template <int kStates, bool kFirst, class T>
HWY_INLINE void complex_sum_step(const ComplexSums<T>& sums, int64_t t, const ComplexVectors<kStates>& q, ComplexKept& kept,
                                 ComplexSumVectors<kStates>& v, Vec& sum_omega) {
  const Vec x = load(sums.x.at(t)), dy = load(sums.dy.at(t));
  if constexpr (kFirst) {
    store(x, kept.x + t * kLanes);
    store(dy, kept.dy + t * kLanes);
    sum_omega = hn::MulAdd(dy, x, sum_omega);
  }
  HWY_UNROLL(4)
  for (int n = 0; n < kStates; ++n) {
    v.e.turn(q, n, v.h.re[n], v.h.im[n]);
    v.h.turn(q, n, x);
    v.sum_c.re[n] = hn::MulAdd(dy, v.h.re[n], v.sum_c.re[n]);
    v.sum_c.im[n] = hn::MulAdd(dy, v.h.im[n], v.sum_c.im[n]);
    v.sum_q.re[n] = hn::MulAdd(dy, v.e.re[n], v.sum_q.re[n]);
    v.sum_q.im[n] = hn::MulAdd(dy, v.e.im[n], v.sum_q.im[n]);
  }
}

/// total += part, both packed numbers of a block of states.
template <int kStates>
HWY_INLINE void add_to(float* total, const ComplexVectors<kStates>& part) {
  HWY_UNROLL(4)
  for (int n = 0; n < kStates; ++n) {
    float* re = total + 2 * n * kLanes;
    store(hn::Add(load(re), part.re[n]), re);
    store(hn::Add(load(re + kLanes), part.im[n]), re + kLanes);
  }
}

template <int kStates, bool kFirst, class T>
HWY_NOINLINE void complex_sum_states(const ComplexSums<T>& call, int64_t begin, int64_t end, ComplexKept& kept, ComplexAhead& prefetcher) {
  constexpr int kUnrolled = kLanes * sizeof(T) < kLine ? 2 : 1;  // steps to a line
  const ComplexSums<T> sums = call;
  ComplexAhead ahead = prefetcher;
  ComplexVectors<kStates> q;
  ComplexSumVectors<kStates> v;
  q.load_from(sums.q);
  v.h.load_from(sums.state);
  v.e.load_from(sums.slope);
  v.sum_c.set_zero();
  v.sum_q.set_zero();
  Vec sum_omega = hn::Zero(kTag);
  int64_t t = begin;
  for (; t + kUnrolled <= end; t += kUnrolled) {
    if constexpr (kFirst) {
      for (int i = 0; i < lines_in<T>(kUnrolled); ++i) {
        ahead.x.next();
        ahead.dy.next();
      }
    }
    HWY_UNROLL(2)
    for (int u = 0; u < kUnrolled; ++u) complex_sum_step<kStates, kFirst>(sums, t + u, q, kept, v, sum_omega);
  }
  for (; t < end; ++t) complex_sum_step<kStates, kFirst>(sums, t, q, kept, v, sum_omega);
  v.h.store_to(sums.state);
  v.e.store_to(sums.slope);
  add_to(sums.sum_c, v.sum_c);
  add_to(sums.sum_q, v.sum_q);
  if constexpr (kFirst) {
    store(hn::Add(load(sums.sum_omega), sum_omega), sums.sum_omega);
    prefetcher = ahead;
  }
}

/// One block of states, as many as fit the registers. Returns how many, and moves `sums` past them.
template <bool kFirst, class T>
int64_t complex_sum_block(ComplexSums<T>& sums, int64_t left, int64_t begin, int64_t end, ComplexKept& kept, ComplexAhead& ahead) {
  const int64_t block = left >= kSummedStates ? kSummedStates : 1;
  if (block == kSummedStates) {
    complex_sum_states<kSummedStates, kFirst>(sums, begin, end, kept, ahead);
  } else {
    complex_sum_states<1, kFirst>(sums, begin, end, kept, ahead);
  }
  sums.skip(block);
  return block;
}

template <class T>
void complex_sum_group(ComplexSums<T> sums, int64_t ema_ndim, int64_t begin, int64_t end, ComplexAhead& ahead) {
  ComplexKept kept;
  int64_t left = ema_ndim - complex_sum_block<true>(sums, ema_ndim, begin, end, kept, ahead);
  ComplexSums<float> rest = {{kept.x, kLanes}, {kept.dy, kLanes}, sums.q, sums.state, sums.slope, sums.sum_c, sums.sum_q, sums.sum_omega};
  while (left > 0) left -= complex_sum_block<false>(rest, left, begin, end, kept, ahead);
}

/// The parameter sums of one batch row over a range of groups.
template <class T>
struct ComplexRowSums {
  Lane<const T> x;   ///< at channel 0
  Lane<const T> dy;  ///< at channel 0
  Restarts restarts;
  int64_t steps = 0;
  int64_t model_dim = 0;
  int64_t ema_ndim = 0;
  const float* q = nullptr;
  ComplexWork work = {};
};

template <class In, class T>
void sum_tile(const ComplexRowSums<T>& row, ComplexSums<In> sums, int64_t group, int64_t tile, int64_t end, bool whole, ComplexAhead& ahead) {
  const int64_t size = row.ema_ndim * 2 * kLanes, packed = group * size;
  sums.q = row.q + packed;
  sums.state = row.work.state + packed;
  sums.slope = row.work.slope + packed;
  sums.sum_c = row.work.sum_c + packed;
  sums.sum_q = row.work.sum_q + packed;
  sums.sum_omega = row.work.sum_omega + group * kLanes;
  const size_t state_bytes = static_cast<size_t>(size) * sizeof(float);
  for (int64_t begin = tile; begin < end;) {
    const int64_t stop = whole ? end : row.restarts.next(begin, end);
    if (row.restarts.before(begin)) {
      std::memset(sums.state, 0, state_bytes);
      std::memset(sums.slope, 0, state_bytes);
    }
    complex_sum_group(sums, row.ema_ndim, begin - tile, stop - tile, ahead);
    begin = stop;
  }
}

template <class T>
void sum_row(const ComplexRowSums<T>& row, int64_t first_group, int64_t last_group) {
  HWY_ALIGN float edge_x[kTile * kLanes];
  HWY_ALIGN float edge_dy[kTile * kLanes];
  const int64_t channel = first_group * kLanes, channels = std::min(last_group * kLanes, row.model_dim) - channel;
  for (int64_t tile = 0; tile < row.steps; tile += kTile) {
    const int64_t end = std::min(tile + kTile, row.steps);
    const bool whole = row.restarts.next(tile, end) == end;
    ComplexAhead ahead = {next_tile(row.x, tile + kTile, row.steps, channel, channels),
                          next_tile(row.dy, tile + kTile, row.steps, channel, channels)};
    for (int64_t group = first_group; group < last_group; ++group) {
      const T* x = row.x.at(tile) + group * kLanes;
      const T* dy = row.dy.at(tile) + group * kLanes;
      const int64_t present = std::min(kLanes, row.model_dim - group * kLanes);
      if (present == kLanes) {
        sum_tile(row, ComplexSums<T>{{x, row.x.stride}, {dy, row.dy.stride}}, group, tile, end, whole, ahead);
        continue;
      }
      for (int64_t t = 0; t < end - tile; ++t) {
        for (int64_t i = 0; i < kLanes; ++i) {
          edge_x[t * kLanes + i] = i < present ? to_float(x[t * row.x.stride + i]) : 0.0f;
          edge_dy[t * kLanes + i] = i < present ? to_float(dy[t * row.dy.stride + i]) : 0.0f;
        }
      }
      sum_tile(row, ComplexSums<float>{{edge_x, kLanes}, {edge_dy, kLanes}}, group, tile, end, whole, ahead);
    }
  }
}

/// (re, im) := (re, im) * (other_re, other_im) + (add_re, add_im)
HWY_INLINE void multiply(Vec& re, Vec& im, Vec other_re, Vec other_im, Vec add_re, Vec add_im) {
  const Vec product = hn::NegMulAdd(im, other_im, hn::MulAdd(re, other_re, add_re));
  im = hn::MulAdd(im, other_re, hn::MulAdd(re, other_im, add_im));
  re = product;
}

/// Negates the imaginary parts of packed numbers.
inline void conjugate(float* packed, int64_t size) {
  for (int64_t i = kLanes; i < size; i += 2 * kLanes) store(hn::Neg(load(packed + i)), packed + i);
}

/// Fills the packed states that the passes start from.
inline void start_row(const ComplexEmaBackward& call, const ComplexWork& work, int64_t b, int64_t first, int64_t last) {
  const auto& shape = call.shape;
  const int64_t size = 2 * shape.ema_ndim, packed = size * kLanes, states = b * shape.model_dim * size;
  for (float* array : {work.state, work.slope, work.sum_c, work.sum_q, work.reverse, work.decay}) {
    std::memset(array + first * packed, 0, static_cast<size_t>((last - first) * packed) * sizeof(float));
  }
  std::memset(work.sum_omega + first * kLanes, 0, static_cast<size_t>((last - first) * kLanes) * sizeof(float));
  for (int64_t group = first; group < last; ++group) {
    if (call.state_in != nullptr) pack(call.state_in + states, group, shape.model_dim, size, work.state + group * packed);
    if (call.dstate_out == nullptr) continue;
    pack(call.dstate_out + states, group, shape.model_dim, size, work.decay + group * packed);
    conjugate(work.decay + group * packed, packed);
  }
}

/// dstate_in = conj(q m_0) = conj(q c g_0 + the decay of dstate_out), unless the scan forgot before its first step.
inline void write_state_gradient(const ComplexEmaBackward& call, const ComplexWork& work, int64_t b, int64_t first, int64_t last, bool forgot) {
  const auto& shape = call.shape;
  const int64_t size = 2 * shape.ema_ndim, packed = size * kLanes;
  const PackedParameters parameters = packed_parameters(shape, call.workspace);
  for (int64_t group = first; group < last; ++group) {
    float* gradient = work.reverse + group * packed;
    for (int64_t i = 0; i < packed; i += 2 * kLanes) {
      const float *q = parameters.q + group * packed + i, *c = parameters.c + group * packed + i, *decay = work.decay + group * packed + i;
      Vec re = load(gradient + i), im = load(gradient + i + kLanes);
      multiply(re, im, load(c), load(c + kLanes), hn::Zero(kTag), hn::Zero(kTag));
      multiply(re, im, load(q), load(q + kLanes), load(decay), load(decay + kLanes));
      store(forgot ? hn::Zero(kTag) : re, gradient + i);
      store(forgot ? hn::Zero(kTag) : hn::Neg(im), gradient + i + kLanes);
    }
    unpack(gradient, group, shape.model_dim, size, call.dstate_in + b * shape.model_dim * size);
  }
}

/// The reverse pass: the forward scan of dy from the last step to the first, forgetting after the steps that the forward forgot before.
template <class T>
void reverse_row(const ComplexEmaBackward& call, const ComplexWork& work, int64_t b, int64_t steps, int64_t first, int64_t last) {
  const auto& shape = call.shape;
  const PackedParameters parameters = packed_parameters(shape, call.workspace);
  const Restarts forward = restarts_of(shape, b, steps);
  if (steps > 0) {
    const auto dy = scan_order<const T>(shape, call.dy, b, steps);
    const auto dx = scan_order<T>(shape, call.dx, b, steps);
    Restarts restarts;
    if (forward.flags != nullptr) restarts = {forward.flags + steps * forward.stride, -forward.stride, false};
    scan_row(ComplexRow<T>{.x = {dy.at(steps - 1), -dy.stride},
                           .y = {dx.at(steps - 1), -dx.stride},
                           .restarts = restarts,
                           .steps = steps,
                           .model_dim = shape.model_dim,
                           .ema_ndim = shape.ema_ndim,
                           .q = parameters.q,
                           .c = parameters.c,
                           .omega = parameters.omega,
                           .state = work.reverse,
                           .decay = call.dstate_out == nullptr ? nullptr : work.decay,
                           .stream_output = should_stream<T>(shape, call.dx)},
             first, last);
  }
  clear_padding<T>(shape, call.dx, b, steps, first, last);
  if (call.dstate_in != nullptr) write_state_gradient(call, work, b, first, last, steps > 0 && forward.before(0));
}

/// The sums of one batch row, and slope := conj(dstate_out) e_T, before the reverse pass uses up the decay.
template <class T>
void sum_parameters(const ComplexEmaBackward& call, const ComplexWork& work, int64_t b, int64_t steps, int64_t first, int64_t last) {
  const auto& shape = call.shape;
  if (steps > 0) {
    sum_row(ComplexRowSums<T>{.x = scan_order<const T>(shape, call.x, b, steps),
                              .dy = scan_order<const T>(shape, call.dy, b, steps),
                              .restarts = restarts_of(shape, b, steps),
                              .steps = steps,
                              .model_dim = shape.model_dim,
                              .ema_ndim = shape.ema_ndim,
                              .q = packed_parameters(shape, call.workspace).q,
                              .work = work},
            first, last);
  }
  if (call.dstate_out == nullptr) return;
  const int64_t packed = 2 * shape.ema_ndim * kLanes;
  for (int64_t i = first * packed; i < last * packed; i += 2 * kLanes) {
    Vec re = load(work.slope + i), im = load(work.slope + i + kLanes);
    multiply(re, im, load(work.decay + i), load(work.decay + i + kLanes), hn::Zero(kTag), hn::Zero(kTag));
    store(re, work.slope + i);
    store(im, work.slope + i + kLanes);
  }
}

/// Items are groups of channels of batch rows.
template <class T>
void scan_groups(const ComplexEmaBackward& call, int64_t begin, int64_t end) {
  const FlushDenormals flush;
  const int64_t groups = groups_of(call.shape.model_dim);
  while (begin < end) {
    const int64_t b = begin / groups, first = begin % groups, last = std::min(groups, first + end - begin);
    const int64_t steps = steps_of(call.shape, b);
    const ComplexWork work = complex_work_of(call, b);
    start_row(call, work, b, first, last);
    if (call.dq != nullptr) sum_parameters<T>(call, work, b, steps, first, last);
    if (call.dx.data != nullptr) reverse_row<T>(call, work, b, steps, first, last);
    begin += last - first;
  }
}

/// Adds the rows' sums in the order of the batch, so that threads do not matter, and writes dq, dc and domega. Items are groups of channels.
inline void write_parameter_gradients(const ComplexEmaBackward& call, int64_t begin, int64_t end) {
  const FlushDenormals flush;
  const auto& shape = call.shape;
  const int64_t size = 2 * shape.ema_ndim, packed = size * kLanes;
  const ComplexWork total = complex_work_of(call, 0);
  const float* c = packed_parameters(shape, call.workspace).c;
  for (int64_t group = begin; group < end; ++group) {
    for (int64_t b = 1; b < shape.batch_size; ++b) {
      const ComplexWork work = complex_work_of(call, b);
      for (int64_t i = group * packed; i < (group + 1) * packed; i += kLanes) {
        store(hn::Add(load(total.sum_c + i), load(work.sum_c + i)), total.sum_c + i);
        store(hn::Add(load(total.sum_q + i), load(work.sum_q + i)), total.sum_q + i);
        store(hn::Add(load(total.slope + i), load(work.slope + i)), total.slope + i);
      }
      float* omega = total.sum_omega + group * kLanes;
      store(hn::Add(load(omega), load(work.sum_omega + group * kLanes)), omega);
    }
    for (int64_t i = group * packed; i < (group + 1) * packed; i += 2 * kLanes) {
      const bool from_state = call.dstate_out != nullptr;
      Vec re = load(total.sum_q + i), im = load(total.sum_q + i + kLanes);
      multiply(re, im, load(c + i), load(c + i + kLanes), from_state ? load(total.slope + i) : hn::Zero(kTag),
               from_state ? load(total.slope + i + kLanes) : hn::Zero(kTag));
      store(re, total.sum_q + i);
      store(im, total.sum_q + i + kLanes);
    }
    conjugate(total.sum_q + group * packed, packed);
    conjugate(total.sum_c + group * packed, packed);
    unpack(total.sum_c + group * packed, group, shape.model_dim, size, call.dc);
    unpack(total.sum_q + group * packed, group, shape.model_dim, size, call.dq);
    unpack(total.sum_omega + group * kLanes, group, shape.model_dim, 1, call.domega);
  }
}

void backward(const ComplexEmaBackward& call, const ParallelFor& parallel_for) {
  constexpr int64_t kGrain = 4096;
  const auto& shape = call.shape;
  const int64_t groups = groups_of(shape.model_dim), packing_grain = std::max<int64_t>(1, kGrain / (4 * shape.ema_ndim * kLanes));
  parallel_for(0, groups, packing_grain,
               [&](int64_t begin, int64_t end) { pack_parameters(shape, call.q, call.c, call.omega, call.workspace, begin, end); });
  const int64_t grain = std::max<int64_t>(1, kGrain / (shape.seq_len * shape.ema_ndim));
  parallel_for(0, shape.batch_size * groups, grain, [&](int64_t begin, int64_t end) {
    if (shape.element == Element::kFloat) {
      scan_groups<float>(call, begin, end);
    } else {
      scan_groups<uint16_t>(call, begin, end);
    }
  });
  if (call.dq == nullptr) return;
  parallel_for(0, groups, packing_grain, [&](int64_t begin, int64_t end) { write_parameter_gradients(call, begin, end); });
}

}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace everlong::kernels {
namespace {

HWY_EXPORT(backward);

}  // namespace

int64_t complex_ema_backward_workspace(const EmaShape& shape) {
  constexpr int64_t kArrays = 6;
  const int64_t padded = (shape.model_dim + 15) / 16 * 16;
  return padded * (1 + shape.batch_size + (4 + 2 * kArrays * shape.batch_size) * shape.ema_ndim);
}

void complex_ema_backward(const ComplexEmaBackward& call, const ParallelFor& parallel_for) { HWY_DYNAMIC_DISPATCH(backward)(call, parallel_for); }

}  // namespace everlong::kernels
#endif
