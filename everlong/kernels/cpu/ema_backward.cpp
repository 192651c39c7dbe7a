#include "everlong/kernels/cpu/ema.h"

#include "everlong/kernels/cpu/denormals.h"

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "everlong/kernels/cpu/ema_backward.cpp"
#include <hwy/foreach_target.h>

#include "everlong/kernels/cpu/ema_simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

inline constexpr int kParameterStates = kManyStates / 4;  // five vectors a state stay in registers

/// Packed arrays of one batch row, all [groups, N, lanes], after the packed q and c that the rows share.
struct Work {
  float* state;    ///< h
  float* slope;    ///< e = dh/dq
  float* sum_c;    ///< sum of dy h
  float* sum_q;    ///< sum of dy e
  float* reverse;  ///< sum of q^(s-t) dy_s, the reverse scan's state
  float* decay;    ///< what is left of dstate_out
};

inline constexpr int64_t kWorkArrays = 6;

inline Work work_of(const EmaBackward& call, int64_t b) {
  const int64_t size = groups_of(call.shape.model_dim) * call.shape.ema_ndim * kLanes;
  float* base = call.workspace + (2 + kWorkArrays * b) * size;
  return {base, base + size, base + 2 * size, base + 3 * size, base + 4 * size, base + 5 * size};
}

/// One group of channels over one stretch of a tile, for the sums of the parameters' gradients. Pointers are packed: [N, lanes].
template <class T>
struct Sums {
  Lane<const T> x;
  Lane<const T> dy;
  const float* q = nullptr;
  float* state = nullptr;
  float* slope = nullptr;
  float* sum_c = nullptr;
  float* sum_q = nullptr;

  void skip(int64_t states) {
    for (float** array : {&state, &slope, &sum_c, &sum_q}) *array += states * kLanes;
    q += states * kLanes;
  }
};

/// x and dy of a tile as floats without gaps: what the first block of states reads, the others find here.
struct Kept {
  HWY_ALIGN float x[kTile * kLanes];
  HWY_ALIGN float dy[kTile * kLanes];
};

struct Ahead {
  Prefetcher x;
  Prefetcher dy;

  HWY_INLINE void next() {
    x.next();
    dy.next();
  }
};

template <int kStates>
struct SumVectors {
  Vec h[kStates], e[kStates], sum_c[kStates], sum_q[kStates];
};

template <int kStates, int kSteps_, class T>
HWY_INLINE void sum_steps(const Sums<T>& sums, int64_t t, Kept* kept, SumVectors<kStates>& v) {
  Vec x[kSteps_], dy[kSteps_];
  HWY_UNROLL(4)
  for (int u = 0; u < kSteps_; ++u) {
    x[u] = load(sums.x.at(t + u));
    dy[u] = load(sums.dy.at(t + u));
    if (kept != nullptr) {
      store(x[u], kept->x + (t + u) * kLanes);
      store(dy[u], kept->dy + (t + u) * kLanes);
    }
  }
  HWY_UNROLL(4)
  for (int n = 0; n < kStates; ++n) {
    const Vec q = load(sums.q + n * kLanes);
    HWY_UNROLL(4)
    for (int u = 0; u < kSteps_; ++u) {
      v.e[n] = hn::MulAdd(q, v.e[n], v.h[n]);
      v.h[n] = hn::MulAdd(q, v.h[n], x[u]);
      v.sum_c[n] = hn::MulAdd(dy[u], v.h[n], v.sum_c[n]);
      v.sum_q[n] = hn::MulAdd(dy[u], v.e[n], v.sum_q[n]);
    }
  }
}

/// `kept` is null where nothing is to be kept.
template <int kStates, class T>
HWY_NOINLINE void sum_states(const Sums<T>& call, int64_t begin, int64_t end, Kept* kept, Ahead& prefetcher) {
  const Sums<T> sums = call;
  Ahead ahead = prefetcher;
  SumVectors<kStates> v;
  HWY_UNROLL(4)
  for (int n = 0; n < kStates; ++n) {
    v.h[n] = load(sums.state + n * kLanes);
    v.e[n] = load(sums.slope + n * kLanes);
    v.sum_c[n] = v.sum_q[n] = hn::Zero(kTag);
  }
  int64_t t = begin;
  for (; t + kSteps <= end; t += kSteps) {
    for (int i = 0; i < lines_in<T>(kSteps); ++i) ahead.next();
    sum_steps<kStates, kSteps>(sums, t, kept, v);
  }
  for (; t < end; ++t) sum_steps<kStates, 1>(sums, t, kept, v);
  HWY_UNROLL(4)
  for (int n = 0; n < kStates; ++n) {
    store(v.h[n], sums.state + n * kLanes);
    store(v.e[n], sums.slope + n * kLanes);
    store(hn::Add(load(sums.sum_c + n * kLanes), v.sum_c[n]), sums.sum_c + n * kLanes);
    store(hn::Add(load(sums.sum_q + n * kLanes), v.sum_q[n]), sums.sum_q + n * kLanes);
  }
  prefetcher = ahead;
}

/// One block of states, as many as fit the registers. Returns how many, and moves `sums` past them.
template <class T>
int64_t sum_block(Sums<T>& sums, int64_t left, int64_t begin, int64_t end, Kept* kept, Ahead& ahead) {
  const int64_t block = left >= kParameterStates ? kParameterStates : left >= 2 ? 2 : 1;
  if (block == kParameterStates) {
    sum_states<kParameterStates>(sums, begin, end, kept, ahead);
  } else if (block == 2) {
    sum_states<2>(sums, begin, end, kept, ahead);
  } else {
    sum_states<1>(sums, begin, end, kept, ahead);
  }
  sums.skip(block);
  return block;
}

template <class T>
void sum_group(Sums<T> sums, int64_t ema_ndim, int64_t begin, int64_t end, Ahead& ahead) {
  Kept kept;
  Ahead none;
  const int64_t first = sum_block(sums, ema_ndim, begin, end, &kept, ahead);
  Sums<float> rest = {{kept.x, kLanes}, {kept.dy, kLanes}, sums.q, sums.state, sums.slope, sums.sum_c, sums.sum_q};
  for (int64_t left = ema_ndim - first; left > 0;) left -= sum_block(rest, left, begin, end, nullptr, none);
}

/// The parameter sums of one batch row over a range of groups.
template <class T>
struct RowSums {
  Lane<const T> x;   ///< at channel 0
  Lane<const T> dy;  ///< at channel 0
  Restarts restarts;
  int64_t steps = 0;
  int64_t model_dim = 0;
  int64_t ema_ndim = 0;
  const float* q = nullptr;
  Work work = {};
};

template <class In, class T>
void sum_tile(const RowSums<T>& row, Sums<In> sums, int64_t group, int64_t tile, int64_t end, bool whole, Ahead& ahead) {
  const int64_t packed = group * row.ema_ndim * kLanes;
  sums.q = row.q + packed;
  sums.state = row.work.state + packed;
  sums.slope = row.work.slope + packed;
  sums.sum_c = row.work.sum_c + packed;
  sums.sum_q = row.work.sum_q + packed;
  const size_t state_bytes = static_cast<size_t>(row.ema_ndim * kLanes) * sizeof(float);
  for (int64_t begin = tile; begin < end;) {
    const int64_t stop = whole ? end : row.restarts.next(begin, end);
    if (row.restarts.before(begin)) {
      std::memset(sums.state, 0, state_bytes);
      std::memset(sums.slope, 0, state_bytes);
    }
    sum_group(sums, row.ema_ndim, begin - tile, stop - tile, ahead);
    begin = stop;
  }
}

template <class T>
void sum_row(const RowSums<T>& row, int64_t first_group, int64_t last_group) {
  HWY_ALIGN float edge_x[kTile * kLanes];
  HWY_ALIGN float edge_dy[kTile * kLanes];
  const int64_t channel = first_group * kLanes, channels = std::min(last_group * kLanes, row.model_dim) - channel;
  for (int64_t tile = 0; tile < row.steps; tile += kTile) {
    const int64_t end = std::min(tile + kTile, row.steps);
    const bool whole = row.restarts.next(tile, end) == end;
    Ahead ahead = {next_tile(row.x, tile + kTile, row.steps, channel, channels), next_tile(row.dy, tile + kTile, row.steps, channel, channels)};
    for (int64_t group = first_group; group < last_group; ++group) {
      const T* x = row.x.at(tile) + group * kLanes;
      const T* dy = row.dy.at(tile) + group * kLanes;
      const int64_t present = std::min(kLanes, row.model_dim - group * kLanes);
      if (present == kLanes) {
        sum_tile(row, Sums<T>{{x, row.x.stride}, {dy, row.dy.stride}}, group, tile, end, whole, ahead);
        continue;
      }
      for (int64_t t = 0; t < end - tile; ++t) {
        for (int64_t i = 0; i < kLanes; ++i) {
          edge_x[t * kLanes + i] = i < present ? to_float(x[t * row.x.stride + i]) : 0.0f;
          edge_dy[t * kLanes + i] = i < present ? to_float(dy[t * row.dy.stride + i]) : 0.0f;
        }
      }
      sum_tile(row, Sums<float>{{edge_x, kLanes}, {edge_dy, kLanes}}, group, tile, end, whole, ahead);
    }
  }
}

/// Fills the packed states that the passes start from.
inline void start_row(const EmaBackward& call, const Work& work, int64_t b, int64_t first, int64_t last) {
  const auto& shape = call.shape;
  const int64_t packed = shape.ema_ndim * kLanes, states = b * shape.model_dim * shape.ema_ndim;
  const size_t bytes = static_cast<size_t>((last - first) * packed) * sizeof(float);
  for (float* array : {work.state, work.slope, work.sum_c, work.sum_q, work.reverse, work.decay}) {
    std::memset(array + first * packed, 0, bytes);
  }
  for (int64_t group = first; group < last; ++group) {
    if (call.state_in != nullptr) pack(call.state_in + states, group, shape.model_dim, shape.ema_ndim, work.state + group * packed);
    if (call.dstate_out != nullptr) pack(call.dstate_out + states, group, shape.model_dim, shape.ema_ndim, work.decay + group * packed);
  }
}

/// dstate_in = q lambda_0 = c q g_0 + the decay of dstate_out, unless the scan forgot before its first step.
inline void write_state_gradient(const EmaBackward& call, const Work& work, int64_t b, int64_t first, int64_t last, bool forgot) {
  const auto& shape = call.shape;
  const int64_t packed = shape.ema_ndim * kLanes, groups = groups_of(shape.model_dim);
  for (int64_t group = first; group < last; ++group) {
    float* gradient = work.reverse + group * packed;
    for (int64_t i = 0; i < packed; i += kLanes) {
      const float* q = call.workspace + group * packed + i;
      const Vec factor = hn::Mul(load(q), load(q + groups * packed));
      const Vec value = hn::MulAdd(factor, load(gradient + i), load(work.decay + group * packed + i));
      store(forgot ? hn::Zero(kTag) : value, gradient + i);
    }
    unpack(gradient, group, shape.model_dim, shape.ema_ndim, call.dstate_in + b * shape.model_dim * shape.ema_ndim);
  }
}

/// The reverse pass: the forward scan of dy from the last step to the first, forgetting after the steps that the forward forgot before.
template <class T>
void reverse_row(const EmaBackward& call, const Work& work, int64_t b, int64_t steps, int64_t first, int64_t last) {
  const auto& shape = call.shape;
  const int64_t groups = groups_of(shape.model_dim), packed = shape.ema_ndim * kLanes;
  const Restarts forward = restarts_of(shape, b, steps);
  if (steps > 0) {
    const auto dy = scan_order<const T>(shape, call.dy, b, steps);
    const auto dx = scan_order<T>(shape, call.dx, b, steps);
    Restarts restarts;
    if (forward.flags != nullptr) restarts = {forward.flags + steps * forward.stride, -forward.stride, false};
    scan_row(RowScan<T>{.x = {dy.at(steps - 1), -dy.stride},
                        .y = {dx.at(steps - 1), -dx.stride},
                        .restarts = restarts,
                        .steps = steps,
                        .model_dim = shape.model_dim,
                        .ema_ndim = shape.ema_ndim,
                        .q = call.workspace,
                        .c = call.workspace + groups * packed,
                        .state = work.reverse,
                        .decay = call.dstate_out == nullptr ? nullptr : work.decay,
                        .stream_output = should_stream<T>(shape, call.dx)},
             first, last);
  }
  clear_padding<T>(shape, call.dx, b, steps, first, last);
  if (call.dstate_in != nullptr) write_state_gradient(call, work, b, first, last, steps > 0 && forward.before(0));
}

/// Items are groups of channels of batch rows.
template <class T>
void scan_groups(const EmaBackward& call, int64_t begin, int64_t end) {
  const FlushDenormals flush;
  const auto& shape = call.shape;
  const int64_t groups = groups_of(shape.model_dim);
  while (begin < end) {
    const int64_t b = begin / groups, first = begin % groups, last = std::min(groups, first + end - begin);
    const int64_t steps = steps_of(shape, b);
    const Work work = work_of(call, b);
    start_row(call, work, b, first, last);
    if (call.dq != nullptr && steps > 0) {
      sum_row(RowSums<T>{.x = scan_order<const T>(shape, call.x, b, steps),
                         .dy = scan_order<const T>(shape, call.dy, b, steps),
                         .restarts = restarts_of(shape, b, steps),
                         .steps = steps,
                         .model_dim = shape.model_dim,
                         .ema_ndim = shape.ema_ndim,
                         .q = call.workspace,
                         .work = work},
              first, last);
    }
    if (call.dq != nullptr && call.dstate_out != nullptr) {  // slope := dstate_out e_T, before the reverse pass uses up the decay
      const int64_t packed = shape.ema_ndim * kLanes;
      for (int64_t i = first * packed; i < last * packed; i += kLanes) {
        store(hn::Mul(load(work.slope + i), load(work.decay + i)), work.slope + i);
      }
    }
    if (call.dx.data != nullptr) reverse_row<T>(call, work, b, steps, first, last);
    begin += last - first;
  }
}

/// Adds the rows' sums in the order of the batch, so that threads do not matter, and writes dq and dc. Items are groups of channels.
inline void write_parameter_gradients(const EmaBackward& call, int64_t begin, int64_t end) {
  const FlushDenormals flush;
  const auto& shape = call.shape;
  const int64_t groups = groups_of(shape.model_dim), packed = shape.ema_ndim * kLanes;
  const Work total = work_of(call, 0);
  for (int64_t group = begin; group < end; ++group) {
    for (int64_t i = group * packed; i < (group + 1) * packed; i += kLanes) {
      Vec sum_c = hn::Zero(kTag), sum_q = hn::Zero(kTag), from_state = hn::Zero(kTag);
      for (int64_t b = 0; b < shape.batch_size; ++b) {
        const Work work = work_of(call, b);
        sum_c = hn::Add(sum_c, load(work.sum_c + i));
        sum_q = hn::Add(sum_q, load(work.sum_q + i));
        if (call.dstate_out != nullptr) from_state = hn::Add(from_state, load(work.slope + i));
      }
      store(sum_c, total.sum_c + i);
      store(hn::MulAdd(load(call.workspace + groups * packed + i), sum_q, from_state), total.sum_q + i);
    }
    unpack(total.sum_c + group * packed, group, shape.model_dim, shape.ema_ndim, call.dc);
    unpack(total.sum_q + group * packed, group, shape.model_dim, shape.ema_ndim, call.dq);
  }
}

void backward(const EmaBackward& call, const ParallelFor& parallel_for) {
  constexpr int64_t kGrain = 8192;
  const auto& shape = call.shape;
  const int64_t groups = groups_of(shape.model_dim), packed = shape.ema_ndim * kLanes;
  const int64_t packing_grain = std::max<int64_t>(1, kGrain / (4 * packed));
  parallel_for(0, groups, packing_grain, [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) {
      pack(call.q, group, shape.model_dim, shape.ema_ndim, call.workspace + group * packed);
      pack(call.c, group, shape.model_dim, shape.ema_ndim, call.workspace + (groups + group) * packed);
    }
  });
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

int64_t ema_backward_workspace(const EmaShape& shape) {
  constexpr int64_t kArrays = 6;
  const int64_t padded = (shape.model_dim + 15) / 16 * 16;
  return (2 + kArrays * shape.batch_size) * padded * shape.ema_ndim;
}

void ema_backward(const EmaBackward& call, const ParallelFor& parallel_for) { HWY_DYNAMIC_DISPATCH(backward)(call, parallel_for); }

}  // namespace everlong::kernels
#endif
