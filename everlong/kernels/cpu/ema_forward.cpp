#include "everlong/kernels/cpu/ema.h"

#include "everlong/kernels/cpu/denormals.h"

// SVE and RVV vectors cannot be array elements, which keeping states in registers needs; NEON serves there.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "everlong/kernels/cpu/ema_forward.cpp"
#include <hwy/foreach_target.h>

#include "everlong/kernels/cpu/ema_simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

/// h = q h + x ; returns sum c h, for one channel with its states along the lanes.
template <class Lanes>
HWY_INLINE float step_block(Lanes tag, const float* q, const float* c, const float* before, float* h, float x, int64_t begin, int64_t end) {
  auto sum = hn::Zero(tag);
  const auto input = hn::Set(tag, x);
  for (int64_t n = begin; n < end; n += static_cast<int64_t>(hn::MaxLanes(tag))) {
    const auto old = before == nullptr ? hn::Zero(tag) : hn::LoadU(tag, before + n);
    const auto value = hn::MulAdd(hn::LoadU(tag, q + n), old, input);
    hn::StoreU(value, tag, h + n);
    sum = hn::MulAdd(hn::LoadU(tag, c + n), value, sum);
  }
  return hn::GetLane(hn::SumOfLanes(tag, sum));
}

inline float step_channel(const float* q, const float* c, const float* before, float* h, float x, int64_t ema_ndim) {
  const hn::CappedTag<float, 4> small;
  const int64_t small_lanes = static_cast<int64_t>(hn::MaxLanes(small));
  const int64_t wide = ema_ndim / kLanes * kLanes, narrow = wide + (ema_ndim - wide) / small_lanes * small_lanes;
  float y = 0;
  if (wide > 0) y = step_block(kTag, q, c, before, h, x, 0, wide);
  if (narrow > wide) y += step_block(small, q, c, before, h, x, wide, narrow);
  for (int64_t n = narrow; n < ema_ndim; ++n) {
    h[n] = (before == nullptr ? 0.0f : q[n] * before[n]) + x;
    y += c[n] * h[n];
  }
  return y;
}

/// A few tokens, as in decoding: no packing, states along the lanes. Items are channels of batch rows.
template <class T>
void step_channels(const EmaForward& call, int64_t begin, int64_t end) {
  const FlushDenormals flush;
  const auto& shape = call.shape;
  const int64_t ema_ndim = shape.ema_ndim;
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = item / shape.model_dim, d = item % shape.model_dim, steps = steps_of(shape, b);
    float* h = call.state_out + item * ema_ndim;
    const float* before = call.state_in == nullptr ? nullptr : call.state_in + item * ema_ndim;
    if (steps == 0) {
      for (int64_t n = 0; n < ema_ndim; ++n) h[n] = before == nullptr ? 0.0f : before[n];
    }
    const Restarts restarts = restarts_of(shape, b, steps);
    for (int64_t s = 0; s < steps; ++s) {
      const int64_t t = shape.reverse ? steps - 1 - s : s;
      if (restarts.before(s)) before = nullptr;
      const T* x = static_cast<const T*>(call.x.data) + b * call.x.batch_stride + t * call.x.time_stride + d;
      T* y = static_cast<T*>(call.y.data) + b * call.y.batch_stride + t * call.y.time_stride + d;
      from_float(step_channel(call.q + d * ema_ndim, call.c + d * ema_ndim, before, h, to_float(*x), ema_ndim), y);
      before = h;
    }
    for (int64_t t = steps; t < shape.seq_len; ++t) {
      from_float(0.0f, static_cast<T*>(call.y.data) + b * call.y.batch_stride + t * call.y.time_stride + d);
    }
  }
}

/// Items are groups of channels of batch rows; the workspace holds packed q and c and a packed state for each batch row.
template <class T>
void scan_groups(const EmaForward& call, int64_t begin, int64_t end) {
  const FlushDenormals flush;
  const auto& shape = call.shape;
  const int64_t groups = groups_of(shape.model_dim), packed = shape.ema_ndim * kLanes;
  while (begin < end) {
    const int64_t b = begin / groups, first = begin % groups, last = std::min(groups, first + end - begin);
    const int64_t steps = steps_of(shape, b), states = b * shape.model_dim * shape.ema_ndim;
    float* state = call.workspace + (2 + b) * groups * packed;
    for (int64_t group = first; group < last; ++group) {
      if (call.state_in == nullptr) {
        std::memset(state + group * packed, 0, static_cast<size_t>(packed) * sizeof(float));
      } else {
        pack(call.state_in + states, group, shape.model_dim, shape.ema_ndim, state + group * packed);
      }
    }
    if (steps > 0) {
      scan_row(RowScan<T>{.x = scan_order<const T>(shape, call.x, b, steps),
                          .y = scan_order<T>(shape, call.y, b, steps),
                          .restarts = restarts_of(shape, b, steps),
                          .steps = steps,
                          .model_dim = shape.model_dim,
                          .ema_ndim = shape.ema_ndim,
                          .q = call.workspace,
                          .c = call.workspace + groups * packed,
                          .state = state,
                          .stream_output = should_stream<T>(shape, call.y)},
               first, last);
    }
    for (int64_t group = first; group < last; ++group) {
      unpack(state + group * packed, group, shape.model_dim, shape.ema_ndim, call.state_out + states);
    }
    clear_padding<T>(shape, call.y, b, steps, first, last);
    begin += last - first;
  }
}

constexpr int64_t kFewSteps = 4;  ///< below, packing the parameters would cost more than the scan

template <class T>
void run_forward(const EmaForward& call, const ParallelFor& parallel_for) {
  constexpr int64_t kGrain = 32768, kStepGrain = 8192;  // values of a step come from memory, each once
  const auto& shape = call.shape;
  if (shape.seq_len < kFewSteps) {
    const int64_t grain = std::max<int64_t>(1, kStepGrain / (shape.seq_len * (shape.ema_ndim + 8)));
    parallel_for(0, shape.batch_size * shape.model_dim, grain, [&](int64_t begin, int64_t end) { step_channels<T>(call, begin, end); });
    return;
  }
  const int64_t groups = groups_of(shape.model_dim), packed = shape.ema_ndim * kLanes;
  parallel_for(0, groups, std::max<int64_t>(1, kGrain / (16 * packed)), [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) {
      pack(call.q, group, shape.model_dim, shape.ema_ndim, call.workspace + group * packed);
      pack(call.c, group, shape.model_dim, shape.ema_ndim, call.workspace + (groups + group) * packed);
    }
  });
  const int64_t grain = std::max<int64_t>(1, kGrain / (shape.seq_len * shape.ema_ndim));
  parallel_for(0, shape.batch_size * groups, grain, [&](int64_t begin, int64_t end) { scan_groups<T>(call, begin, end); });
}

void forward(const EmaForward& call, const ParallelFor& parallel_for) {
  if (call.shape.element == Element::kFloat) {
    run_forward<float>(call, parallel_for);
  } else {
    run_forward<uint16_t>(call, parallel_for);
  }
}

const char* target() { return hwy::TargetName(HWY_TARGET); }

}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace everlong::kernels {
namespace {

HWY_EXPORT(forward);
HWY_EXPORT(target);

}  // namespace

int64_t ema_forward_workspace(const EmaShape& shape) {
  if (shape.seq_len < HWY_STATIC_DISPATCH(kFewSteps)) return 0;
  const int64_t padded = (shape.model_dim + 15) / 16 * 16;
  return (2 + shape.batch_size) * padded * shape.ema_ndim;
}

void ema_forward(const EmaForward& call, const ParallelFor& parallel_for) { HWY_DYNAMIC_DISPATCH(forward)(call, parallel_for); }

const char* ema_target() { return HWY_DYNAMIC_DISPATCH(target)(); }

}  // namespace everlong::kernels
#endif
