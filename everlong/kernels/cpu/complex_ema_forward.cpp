#include "everlong/kernels/cpu/complex_ema.h"

#include "everlong/kernels/cpu/denormals.h"

// SVE and RVV vectors cannot be array elements, which keeping states in registers needs; NEON serves there.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "everlong/kernels/cpu/complex_ema_forward.cpp"
#include <hwy/foreach_target.h>

#include "everlong/kernels/cpu/complex_ema_simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

/// One channel: its parameters and its state before and after, [N, 2] each.
struct ComplexChannel {
  const float* q;
  const float* c;
  const float* before;  ///< null = zeros
  float* h;
};

/// h = q h + x ; returns sum Re(c h), with the states along the lanes.
template <class Lanes>
HWY_INLINE float complex_step_block(Lanes tag, const ComplexChannel& channel, float x, int64_t begin, int64_t end) {
  auto sum = hn::Zero(tag);
  const auto input = hn::Set(tag, x);
  for (int64_t n = begin; n < end; n += static_cast<int64_t>(hn::MaxLanes(tag))) {
    auto old_re = hn::Zero(tag), old_im = hn::Zero(tag), q_re = old_re, q_im = old_re, c_re = old_re, c_im = old_re;
    if (channel.before != nullptr) hn::LoadInterleaved2(tag, channel.before + 2 * n, old_re, old_im);
    hn::LoadInterleaved2(tag, channel.q + 2 * n, q_re, q_im);
    hn::LoadInterleaved2(tag, channel.c + 2 * n, c_re, c_im);
    const auto re = hn::NegMulAdd(q_im, old_im, hn::MulAdd(q_re, old_re, input));
    const auto im = hn::MulAdd(q_re, old_im, hn::Mul(q_im, old_re));
    hn::StoreInterleaved2(re, im, tag, channel.h + 2 * n);
    sum = hn::NegMulAdd(c_im, im, hn::MulAdd(c_re, re, sum));
  }
  return hn::GetLane(hn::SumOfLanes(tag, sum));
}

inline float complex_step_channel(const ComplexChannel& channel, float x, int64_t ema_ndim) {
  const hn::CappedTag<float, 4> small;
  const int64_t small_lanes = static_cast<int64_t>(hn::MaxLanes(small));
  const int64_t wide = ema_ndim / kLanes * kLanes, narrow = wide + (ema_ndim - wide) / small_lanes * small_lanes;
  float y = 0;
  if (wide > 0) y = complex_step_block(kTag, channel, x, 0, wide);
  if (narrow > wide) y += complex_step_block(small, channel, x, wide, narrow);
  for (int64_t n = narrow; n < ema_ndim; ++n) {
    const float q_re = channel.q[2 * n], q_im = channel.q[2 * n + 1];
    const float re = channel.before == nullptr ? 0.0f : channel.before[2 * n], im = channel.before == nullptr ? 0.0f : channel.before[2 * n + 1];
    channel.h[2 * n] = q_re * re - q_im * im + x;
    channel.h[2 * n + 1] = q_re * im + q_im * re;
    y += channel.c[2 * n] * channel.h[2 * n] - channel.c[2 * n + 1] * channel.h[2 * n + 1];
  }
  return y;
}

/// A few tokens, as in decoding: no packing, states along the lanes. Items are channels of batch rows.
template <class T>
void step_channels(const ComplexEmaForward& call, int64_t begin, int64_t end) {
  const FlushDenormals flush;
  const auto& shape = call.shape;
  const int64_t size = 2 * shape.ema_ndim;
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = item / shape.model_dim, d = item % shape.model_dim, steps = steps_of(shape, b);
    ComplexChannel channel = {call.q + d * size, call.c + d * size, call.state_in == nullptr ? nullptr : call.state_in + item * size,
                              call.state_out + item * size};
    if (steps == 0) {
      for (int64_t n = 0; n < size; ++n) channel.h[n] = channel.before == nullptr ? 0.0f : channel.before[n];
    }
    const Restarts restarts = restarts_of(shape, b, steps);
    for (int64_t s = 0; s < steps; ++s) {
      const int64_t t = shape.reverse ? steps - 1 - s : s;
      if (restarts.before(s)) channel.before = nullptr;
      const float x = to_float(*(static_cast<const T*>(call.x.data) + b * call.x.batch_stride + t * call.x.time_stride + d));
      T* y = static_cast<T*>(call.y.data) + b * call.y.batch_stride + t * call.y.time_stride + d;
      from_float(complex_step_channel(channel, x, shape.ema_ndim) + call.omega[d] * x, y);
      channel.before = channel.h;
    }
    for (int64_t t = steps; t < shape.seq_len; ++t) {
      from_float(0.0f, static_cast<T*>(call.y.data) + b * call.y.batch_stride + t * call.y.time_stride + d);
    }
  }
}

/// Items are groups of channels of batch rows; the workspace holds the packed parameters and a packed state for each batch row.
template <class T>
void scan_groups(const ComplexEmaForward& call, int64_t begin, int64_t end) {
  const FlushDenormals flush;
  const auto& shape = call.shape;
  const int64_t groups = groups_of(shape.model_dim), size = 2 * shape.ema_ndim, packed = size * kLanes;
  const PackedParameters parameters = packed_parameters(shape, call.workspace);
  while (begin < end) {
    const int64_t b = begin / groups, first = begin % groups, last = std::min(groups, first + end - begin);
    const int64_t steps = steps_of(shape, b), states = b * shape.model_dim * size;
    float* state = call.workspace + packed_parameters_size(shape) + b * groups * packed;
    for (int64_t group = first; group < last; ++group) {
      if (call.state_in == nullptr) {
        std::memset(state + group * packed, 0, static_cast<size_t>(packed) * sizeof(float));
      } else {
        pack(call.state_in + states, group, shape.model_dim, size, state + group * packed);
      }
    }
    if (steps > 0) {
      scan_row(ComplexRow<T>{.x = scan_order<const T>(shape, call.x, b, steps),
                             .y = scan_order<T>(shape, call.y, b, steps),
                             .restarts = restarts_of(shape, b, steps),
                             .steps = steps,
                             .model_dim = shape.model_dim,
                             .ema_ndim = shape.ema_ndim,
                             .q = parameters.q,
                             .c = parameters.c,
                             .omega = parameters.omega,
                             .state = state,
                             .stream_output = should_stream<T>(shape, call.y)},
               first, last);
    }
    for (int64_t group = first; group < last; ++group) {
      unpack(state + group * packed, group, shape.model_dim, size, call.state_out + states);
    }
    clear_padding<T>(shape, call.y, b, steps, first, last);
    begin += last - first;
  }
}

template <class T>
void run_forward(const ComplexEmaForward& call, const ParallelFor& parallel_for) {
  constexpr int64_t kFewSteps = 4;  // below, packing the parameters would cost more than the scan
  constexpr int64_t kGrain = 16384;
  const auto& shape = call.shape;
  if (shape.seq_len < kFewSteps) {
    const int64_t grain = std::max<int64_t>(1, kGrain / (shape.seq_len * (shape.ema_ndim + 8)));
    parallel_for(0, shape.batch_size * shape.model_dim, grain, [&](int64_t begin, int64_t end) { step_channels<T>(call, begin, end); });
    return;
  }
  const int64_t groups = groups_of(shape.model_dim);
  parallel_for(0, groups, std::max<int64_t>(1, kGrain / (16 * shape.ema_ndim * kLanes)),
               [&](int64_t begin, int64_t end) { pack_parameters(shape, call.q, call.c, call.omega, call.workspace, begin, end); });
  const int64_t grain = std::max<int64_t>(1, kGrain / (shape.seq_len * shape.ema_ndim));
  parallel_for(0, shape.batch_size * groups, grain, [&](int64_t begin, int64_t end) { scan_groups<T>(call, begin, end); });
}

void forward(const ComplexEmaForward& call, const ParallelFor& parallel_for) {
  if (call.shape.element == Element::kFloat) {
    run_forward<float>(call, parallel_for);
  } else {
    run_forward<uint16_t>(call, parallel_for);
  }
}

}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace everlong::kernels {
namespace {

HWY_EXPORT(forward);

}  // namespace

int64_t complex_ema_forward_workspace(const EmaShape& shape) {
  const int64_t padded = (shape.model_dim + 15) / 16 * 16;
  return padded * (1 + 2 * (2 + shape.batch_size) * shape.ema_ndim);
}

void complex_ema_forward(const ComplexEmaForward& call, const ParallelFor& parallel_for) { HWY_DYNAMIC_DISPATCH(forward)(call, parallel_for); }

}  // namespace everlong::kernels
#endif
