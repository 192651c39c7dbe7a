#include "everlong/kernels/cuda/ema.h"

#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_runtime.h>

namespace everlong::kernels::cuda {
namespace {

// One thread is one channel of one batch row with a block of its states in registers; neighbouring threads are neighbouring channels, so that
// every access of a warp is one stretch of memory. A block of states that is not the last adds to an fp32 copy of the output.

constexpr int kThreads = 128;
constexpr int kScanStates = 16;
constexpr int kSumStates = 8;  // h, e, q and two sums each

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ inline void from_float(float x, float* p) { *p = x; }
__device__ inline void from_float(float x, __nv_bfloat16* p) { *p = __float2bfloat16_rn(x); }

__device__ inline int64_t steps_of(const EmaShape& shape, int64_t b) {
  if (shape.lengths == nullptr) return shape.seq_len;
  const int64_t length = shape.lengths[b];
  return length < 0 ? 0 : length > shape.seq_len ? shape.seq_len : length;
}

__device__ inline bool restarts(const EmaShape& shape, int64_t b, int64_t t) {
  return shape.restart != nullptr && shape.restart[b * shape.seq_len + t];
}

/// Reads a column of rows a few steps before they are needed: a scan of one channel has nothing else to hide the memory's latency behind.
template <class T, int kAhead>
struct Reader {
  const T* column;
  int64_t time_stride;
  int64_t first;      ///< token of step 0
  int64_t direction;  ///< 1 or -1
  int64_t steps;
  float next[kAhead];

  __device__ void read(int64_t step) {
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      if (step + u < steps) next[u] = to_float(column[(first + direction * (step + u)) * time_stride]);
    }
  }
};

constexpr int kAhead = 4;

/// The reader of batch row b, channel d, in scan order or against it.
template <class T>
__device__ inline Reader<T, kAhead> reader_of(const EmaShape& shape, const ConstRows& rows, int64_t b, int64_t d, int64_t steps, bool against) {
  const bool down = shape.reverse != against;
  Reader<T, kAhead> reader = {
      static_cast<const T*>(rows.data) + b * rows.batch_stride + d, rows.time_stride, down ? steps - 1 : 0, down ? -1 : 1, steps, {}};
  reader.read(0);
  return reader;
}

/// What the forward scan and the reverse scan of the backward pass share: a scan of x into y by steps in either direction.
struct Pass {
  EmaShape shape;
  ConstRows x;
  MutableRows y;
  const float* q;
  const float* c;
  const float* state_in;  ///< null = zeros
  const float* decay_in;  ///< null, or dstate_out, whose decay is added to y
  float* state_out;       ///< the forward's final state, or the backward's dstate_in; may be null in the backward
  float* sums;            ///< [B, T, D] partial sums if there are several blocks of states
};

template <class T, int kStates, bool kBackward>
__global__ void __launch_bounds__(kThreads) scan(Pass pass, int first, int count, bool add, bool last) {
  const EmaShape& shape = pass.shape;
  const int64_t d = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, b = blockIdx.y;
  if (d >= shape.model_dim) return;
  const int64_t steps = steps_of(shape, b), parameters = d * shape.ema_ndim + first, states = b * shape.model_dim * shape.ema_ndim + parameters;
  float h[kStates], q[kStates], c[kStates], m[kBackward ? kStates : 1];
#pragma unroll
  for (int n = 0; n < kStates; ++n) {
    const bool present = n < count;
    q[n] = present ? pass.q[parameters + n] : 0.0f;
    c[n] = present ? pass.c[parameters + n] : 0.0f;
    h[n] = present && pass.state_in != nullptr ? pass.state_in[states + n] : 0.0f;
    if constexpr (kBackward) m[n] = present && pass.decay_in != nullptr ? pass.decay_in[states + n] : 0.0f;
  }
  T* y = static_cast<T*>(pass.y.data) + b * pass.y.batch_stride + d;
  float* sums = pass.sums + b * shape.seq_len * shape.model_dim + d;
  Reader<T, kAhead> reader = reader_of<T>(shape, pass.x, b, d, steps, kBackward);
  const auto forget = [&] {
#pragma unroll
    for (int n = 0; n < kStates; ++n) {
      h[n] = 0.0f;
      if constexpr (kBackward) m[n] = 0.0f;
    }
  };
  const auto step = [&](int64_t t, float input) {
    const bool restart = restarts(shape, b, t);
    if (!kBackward && restart) forget();
    float sum = add ? sums[t * shape.model_dim] : 0.0f;
#pragma unroll
    for (int n = 0; n < kStates; ++n) {
      h[n] = fmaf(q[n], h[n], input);
      if (n < count) sum = fmaf(c[n], h[n], sum);
      if constexpr (kBackward) {
        sum += m[n];
        m[n] *= q[n];
      }
    }
    if (kBackward && restart) forget();
    if (last) {
      from_float(sum, y + t * pass.y.time_stride);
    } else {
      sums[t * shape.model_dim] = sum;
    }
  };
  for (int64_t i = 0; i < steps; i += kAhead) {
    float inputs[kAhead];
#pragma unroll
    for (int u = 0; u < kAhead; ++u) inputs[u] = reader.next[u];
    reader.read(i + kAhead);
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      if (i + u < steps) step(reader.first + reader.direction * (i + u), inputs[u]);
    }
  }
  for (int64_t t = steps; last && t < shape.seq_len; ++t) from_float(0.0f, y + t * pass.y.time_stride);
  if (pass.state_out == nullptr) return;
#pragma unroll
  for (int n = 0; n < kStates; ++n) {
    float value = h[n];
    if constexpr (kBackward) value = fmaf(c[n] * q[n], h[n], m[n]);
    if (n < count) pass.state_out[states + n] = value;
  }
}

/// Forward-mode sums for dq and dc of one batch row, to partial[b, 0 or 1, d, n].
template <class T, int kStates>
__global__ void __launch_bounds__(kThreads) sum_parameters(EmaBackward call, int first, int count) {
  const EmaShape& shape = call.shape;
  const int64_t d = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, b = blockIdx.y;
  if (d >= shape.model_dim) return;
  const int64_t steps = steps_of(shape, b), all = shape.model_dim * shape.ema_ndim, parameters = d * shape.ema_ndim + first;
  float h[kStates], e[kStates], q[kStates], sum_c[kStates], sum_q[kStates];
#pragma unroll
  for (int n = 0; n < kStates; ++n) {
    const bool present = n < count;
    q[n] = present ? call.q[parameters + n] : 0.0f;
    h[n] = present && call.state_in != nullptr ? call.state_in[b * all + parameters + n] : 0.0f;
    e[n] = sum_c[n] = sum_q[n] = 0.0f;
  }
  Reader<T, kAhead> x = reader_of<T>(shape, call.x, b, d, steps, false), dy = reader_of<T>(shape, call.dy, b, d, steps, false);
  const auto step = [&](int64_t t, float input, float slope) {
    if (restarts(shape, b, t)) {
#pragma unroll
      for (int n = 0; n < kStates; ++n) h[n] = e[n] = 0.0f;
    }
#pragma unroll
    for (int n = 0; n < kStates; ++n) {
      e[n] = fmaf(q[n], e[n], h[n]);
      h[n] = fmaf(q[n], h[n], input);
      sum_c[n] = fmaf(slope, h[n], sum_c[n]);
      sum_q[n] = fmaf(slope, e[n], sum_q[n]);
    }
  };
  for (int64_t i = 0; i < steps; i += kAhead) {
    float inputs[kAhead], slopes[kAhead];
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      inputs[u] = x.next[u];
      slopes[u] = dy.next[u];
    }
    x.read(i + kAhead);
    dy.read(i + kAhead);
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      if (i + u < steps) step(x.first + x.direction * (i + u), inputs[u], slopes[u]);
    }
  }
  float* partial = call.workspace + 2 * b * all + parameters;
#pragma unroll
  for (int n = 0; n < kStates; ++n) {
    if (n >= count) continue;
    partial[n] = sum_c[n];
    const float from_state = call.dstate_out != nullptr ? call.dstate_out[b * all + parameters + n] * e[n] : 0.0f;
    partial[all + n] = fmaf(call.c[parameters + n], sum_q[n], from_state);
  }
}

/// Adds the batch rows in their order, so that two runs agree to the bit.
__global__ void __launch_bounds__(kThreads) add_rows(EmaBackward call) {
  const int64_t all = call.shape.model_dim * call.shape.ema_ndim, i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= all) return;
  float dc = 0.0f, dq = 0.0f;
  for (int64_t b = 0; b < call.shape.batch_size; ++b) {
    dc += call.workspace[2 * b * all + i];
    dq += call.workspace[(2 * b + 1) * all + i];
  }
  call.dc[i] = dc;
  call.dq[i] = dq;
}

unsigned blocks_for(int64_t items) { return static_cast<unsigned>((items + kThreads - 1) / kThreads); }

int64_t partial_sums(const EmaShape& shape) { return shape.ema_ndim > kScanStates ? shape.batch_size * shape.seq_len * shape.model_dim : 0; }

template <class T, bool kBackward>
void launch_scan(const Pass& pass, cudaStream_t stream) {
  const int total = static_cast<int>(pass.shape.ema_ndim);
  const dim3 grid(blocks_for(pass.shape.model_dim), static_cast<unsigned>(pass.shape.batch_size));
  for (int first = 0; first < total; first += kScanStates) {
    const int count = total - first < kScanStates ? total - first : kScanStates;
    const bool add = first > 0, last = first + count == total;
    if (count > 8) {
      scan<T, 16, kBackward><<<grid, kThreads, 0, stream>>>(pass, first, count, add, last);
    } else if (count > 4) {
      scan<T, 8, kBackward><<<grid, kThreads, 0, stream>>>(pass, first, count, add, last);
    } else {
      scan<T, 4, kBackward><<<grid, kThreads, 0, stream>>>(pass, first, count, add, last);
    }
  }
}

template <class T>
void launch_backward(const EmaBackward& call, cudaStream_t stream) {
  const EmaShape& shape = call.shape;
  const int total = static_cast<int>(shape.ema_ndim);
  const dim3 grid(blocks_for(shape.model_dim), static_cast<unsigned>(shape.batch_size));
  if (call.dq != nullptr) {
    for (int first = 0; first < total; first += kSumStates) {
      const int count = total - first < kSumStates ? total - first : kSumStates;
      sum_parameters<T, kSumStates><<<grid, kThreads, 0, stream>>>(call, first, count);
    }
    add_rows<<<blocks_for(shape.model_dim * shape.ema_ndim), kThreads, 0, stream>>>(call);
  }
  if (call.dx.data == nullptr) return;
  float* sums = call.workspace + 2 * shape.batch_size * shape.model_dim * shape.ema_ndim;
  launch_scan<T, true>({shape, call.dy, call.dx, call.q, call.c, nullptr, call.dstate_out, call.dstate_in, sums}, stream);
}

const char* launch_error() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

const char* refuse(const EmaShape& shape) {
  return shape.batch_size > 65535 ? "a batch of more than 65535 rows, the most that one launch takes" : nullptr;
}

}  // namespace

bool ema_is_compiled() { return true; }

int64_t ema_forward_workspace(const EmaShape& shape) { return partial_sums(shape); }

int64_t ema_backward_workspace(const EmaShape& shape) { return 2 * shape.batch_size * shape.model_dim * shape.ema_ndim + partial_sums(shape); }

const char* ema_forward(const EmaForward& call, void* stream) {
  if (const char* reason = refuse(call.shape)) return reason;
  const Pass pass = {call.shape, call.x, call.y, call.q, call.c, call.state_in, nullptr, call.state_out, call.workspace};
  if (call.shape.element == Element::kFloat) {
    launch_scan<float, false>(pass, static_cast<cudaStream_t>(stream));
  } else {
    launch_scan<__nv_bfloat16, false>(pass, static_cast<cudaStream_t>(stream));
  }
  return launch_error();
}

const char* ema_backward(const EmaBackward& call, void* stream) {
  if (const char* reason = refuse(call.shape)) return reason;
  if (call.shape.element == Element::kFloat) {
    launch_backward<float>(call, static_cast<cudaStream_t>(stream));
  } else {
    launch_backward<__nv_bfloat16>(call, static_cast<cudaStream_t>(stream));
  }
  return launch_error();
}

}  // namespace everlong::kernels::cuda
