#include "everlong/kernels/cpu/roofs.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <sys/mman.h>

#include "everlong/base/error.h"
#include "everlong/kernels/cpu/bfloat16.h"

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "everlong/kernels/cpu/roofs.cpp"
#include <hwy/foreach_target.h>

#include <hwy/cache_control.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

inline constexpr hn::ScalableTag<float> kTag{};
inline constexpr int64_t kLanes = HWY_LANES(float);

/// Enough independent chains to hide the latency, few enough for 16 registers. Returns the floating-point operations done.
HWY_NOINLINE double multiply_add(int64_t rounds, float* sink) {
  constexpr int kChains = 12;
  hn::Vec<hn::ScalableTag<float>> sums[kChains];
  HWY_UNROLL(12)
  for (int i = 0; i < kChains; ++i) sums[i] = hn::Set(kTag, 1.0f + 0.001f * static_cast<float>(i));
  const auto factor = hn::Set(kTag, 0.999999f), term = hn::Set(kTag, 1e-7f);
  for (int64_t round = 0; round < rounds; ++round) {
    HWY_UNROLL(12)
    for (int i = 0; i < kChains; ++i) sums[i] = hn::MulAdd(sums[i], factor, term);
  }
  for (int i = 1; i < kChains; ++i) sums[0] = hn::Add(sums[0], sums[i]);
  *sink += hn::GetLane(hn::SumOfLanes(kTag, sums[0]));
  return 2.0 * kChains * static_cast<double>(kLanes) * static_cast<double>(rounds);
}

/// Asks for what it reads well before: without that, a thread waits for memory more than half of the time.
HWY_NOINLINE float read_all(const float* data, int64_t size) {
  constexpr int64_t kAhead = 16384 / static_cast<int64_t>(sizeof(float));
  auto a = hn::Zero(kTag), b = a, c = a, d = a;
  for (int64_t i = 0; i + 4 * kLanes <= size; i += 4 * kLanes) {
    for (int64_t k = 0; k < 4; ++k) __builtin_prefetch(data + i + k * kLanes + kAhead, 0, 3);
    a = hn::Add(a, hn::Load(kTag, data + i));
    b = hn::Add(b, hn::Load(kTag, data + i + kLanes));
    c = hn::Add(c, hn::Load(kTag, data + i + 2 * kLanes));
    d = hn::Add(d, hn::Load(kTag, data + i + 3 * kLanes));
  }
  return hn::GetLane(hn::SumOfLanes(kTag, hn::Add(hn::Add(a, b), hn::Add(c, d))));
}

HWY_NOINLINE void copy_all(const float* from, float* to, int64_t size) {
  for (int64_t i = 0; i + kLanes <= size; i += kLanes) hn::Stream(hn::Load(kTag, from + i), kTag, to + i);
  hwy::FlushStream();
}

}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace everlong::kernels {
namespace {

HWY_EXPORT(multiply_add);
HWY_EXPORT(read_all);
HWY_EXPORT(copy_all);

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512bf16"), noinline)) double bf16_dot(int64_t rounds, float* sink) {
  constexpr int kChains = 12;
  __m512 sums[kChains];
  HWY_UNROLL(12)
  for (int i = 0; i < kChains; ++i) sums[i] = _mm512_setzero_ps();
  const auto ones = (__m512bh)_mm512_set1_epi32(0x3f803f80), small = (__m512bh)_mm512_set1_epi32(0x33803380);
  for (int64_t round = 0; round < rounds; ++round) {
    HWY_UNROLL(12)
    for (int i = 0; i < kChains; ++i) sums[i] = _mm512_dpbf16_ps(sums[i], ones, small);
  }
  for (int i = 1; i < kChains; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  *sink += _mm512_cvtss_f32(sums[0]);
  return 2.0 * kChains * 32 * static_cast<double>(rounds);
}
#else
double bf16_dot(int64_t, float*) { return 0; }
#endif

/// The best rate of `work` in about `seconds`, with all threads starting together. `work(thread)` returns what one thread did.
double best_rate(int num_threads, double seconds, const std::function<double(int)>& work) {
  std::vector<double> done(static_cast<size_t>(num_threads));
  double best = 0;
  bool stop = false;
  auto start = Clock::now();
  const auto begin = start;
  int runs = 0;
  std::barrier together(num_threads, [&]() noexcept {  // runs between two rounds: closes one and opens the next
    if (runs++ > 0) {
      double sum = 0;
      for (const double amount : done) sum += amount;
      best = std::max(best, sum / seconds_since(start));
    }
    stop = runs > 3 && seconds_since(begin) > seconds;
    start = Clock::now();
  });
  const auto run = [&](int thread) {
    for (;;) {
      together.arrive_and_wait();
      if (stop) return;
      done[static_cast<size_t>(thread)] = work(thread);
    }
  };
  std::vector<std::jthread> threads;
  for (int thread = 1; thread < num_threads; ++thread) threads.emplace_back(run, thread);
  run(0);
  return best;
}

struct alignas(64) Sink {
  volatile float value = 0;
};

/// A few milliseconds on any machine of this decade: long enough for the scheduler to find a core for each thread.
constexpr int64_t kRounds = 1000000;

using Compute = double (*)(int64_t, float*);

double compute_rate(int num_threads, double seconds, Compute compute) {
  std::vector<Sink> sinks(static_cast<size_t>(num_threads));
  return 1e-9 * best_rate(num_threads, seconds, [&](int thread) {
           float sum = 0;
           const double operations = compute(kRounds, &sum);
           sinks[static_cast<size_t>(thread)].value = sum;
           return operations;
         });
}

double fp32_work(int64_t rounds, float* sink) { return HWY_DYNAMIC_DISPATCH(multiply_add)(rounds, sink); }

constexpr size_t kLargePage = size_t{2} << 20;

struct Free {
  void operator()(float* data) const { ::operator delete[](data, std::align_val_t{kLargePage}); }
};
using Buffer = std::unique_ptr<float[], Free>;

Buffer make_buffer(int64_t size) {
  const size_t bytes = static_cast<size_t>(size) * sizeof(float);
  Buffer buffer(static_cast<float*>(::operator new[](bytes, std::align_val_t{kLargePage})));
#ifdef MADV_HUGEPAGE
  madvise(buffer.get(), bytes, MADV_HUGEPAGE);  // as the product's tensors have them
#endif
  std::fill_n(buffer.get(), size, 1.0f);  // touched, so that the pages exist
  return buffer;
}

void check_threads(int num_threads, int64_t buffer_bytes) {
  require(num_threads >= 1 && num_threads <= 4096,
          [&] { return Complaint{.where = "roofs", .expected = "between 1 and 4096 threads", .got = std::to_string(num_threads)}; });
  require(buffer_bytes >= num_threads * (int64_t{1} << 20), [&] {
    return Complaint{.where = "roofs", .expected = "a buffer of at least 1 MiB a thread", .got = std::to_string(buffer_bytes) + " bytes"};
  });
}

}  // namespace

double measure_fp32_gflops(int num_threads, double seconds) {
  check_threads(num_threads, int64_t{1} << 40);
  return compute_rate(num_threads, seconds, fp32_work);
}

Roofs measure_roofs(int num_threads, const RoofOptions& options) {
  check_threads(num_threads, options.buffer_bytes);
  const double share = options.seconds / 4;
  Roofs roofs = {.num_threads = num_threads, .fp32_gflops = compute_rate(num_threads, share, fp32_work)};
  if (has_bf16_dot()) roofs.bf16_dot_gflops = compute_rate(num_threads, share, bf16_dot);

  // A thread reads its piece of the buffer, or copies the front half of the piece to the back half.
  const int64_t piece = options.buffer_bytes / static_cast<int64_t>(sizeof(float)) / num_threads / 256 * 256;
  const Buffer buffer = make_buffer(piece * num_threads);
  std::vector<Sink> sinks(static_cast<size_t>(num_threads));
  const double bytes = static_cast<double>(piece) * sizeof(float);
  roofs.read_gb_s = 1e-9 * best_rate(num_threads, share, [&](int thread) {
                      sinks[static_cast<size_t>(thread)].value = HWY_DYNAMIC_DISPATCH(read_all)(buffer.get() + thread * piece, piece);
                      return bytes;
                    });
  roofs.copy_gb_s = 1e-9 * best_rate(num_threads, share, [&](int thread) {
                      float* front = buffer.get() + thread * piece;
                      HWY_DYNAMIC_DISPATCH(copy_all)(front, front + piece / 2, piece / 2);
                      return bytes;
                    });
  return roofs;
}

}  // namespace everlong::kernels
#endif
