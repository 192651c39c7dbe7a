#include "everlong/kernels/cpu/cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "everlong/kernels/cpu/cross_entropy.cpp"
#include <hwy/foreach_target.h>

#include "everlong/kernels/cpu/bfloat16.h"
#include "everlong/kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using row::kTag;
using row::Vec;

/// One row of logits with its bias.
template <class T>
struct Logits {
  const T* values;
  const float* bias;

  float at(int64_t v) const { return to_float(values[v]) + (bias == nullptr ? 0.0f : bias[v]); }
  HWY_INLINE Vec load(int64_t v, int64_t count) const {
    const auto logit = row::load(values + v, count);
    return bias == nullptr ? logit : hn::Add(logit, row::load(bias + v, count));
  }
  /// As load; lanes behind `count` are -inf.
  HWY_INLINE Vec load_padded(int64_t v, int64_t count) const {
    const auto logit = load(v, count);
    if (count >= row::lanes()) return logit;
    return hn::IfThenElse(hn::FirstN(kTag, static_cast<size_t>(count)), logit, hn::Set(kTag, -std::numeric_limits<float>::infinity()));
  }
};

/// Calls body(v, count, which) for the vectors of [0, n); `which` alternates, for sums with two chains.
template <class Body>
HWY_INLINE void for_each_vector(int64_t n, const Body& body) {
  const int64_t lanes = row::lanes();
  int64_t v = 0;
  for (; v + 2 * lanes <= n; v += 2 * lanes) {
    body(v, lanes, 0);
    body(v + lanes, lanes, 1);
  }
  for (; v + lanes <= n; v += lanes) body(v, lanes, 0);
  if (v < n) body(v, n - v, 0);
}

template <class T>
HWY_INLINE float log_sum_exp(const Logits<T>& logits, int64_t vocab_size) {
  const auto lowest = hn::Set(kTag, std::numeric_limits<float>::lowest());
  Vec top[2] = {lowest, lowest};
  for_each_vector(vocab_size,
                  [&](int64_t v, int64_t count, int which) EVERLONG_VECTOR_BODY { top[which] = hn::Max(top[which], logits.load_padded(v, count)); });
  const float largest = row::max(hn::Max(top[0], top[1]));
  const auto shift = hn::Set(kTag, largest);
  Vec total[2] = {hn::Zero(kTag), hn::Zero(kTag)};
  for_each_vector(vocab_size, [&](int64_t v, int64_t count, int which) EVERLONG_VECTOR_BODY {
    total[which] = hn::Add(total[which], row::exp(hn::Sub(logits.load_padded(v, count), shift)));
  });
  return largest + std::log(row::sum(hn::Add(total[0], total[1])));
}

template <class T>
void losses_of(const CrossEntropyRows& rows, const T* logits, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const Logits<T> row{logits + i * rows.row_stride, rows.bias};
    const int64_t target = rows.targets[i];
    rows.losses[i] = target == rows.ignore_index ? 0.0f : log_sum_exp(row, rows.vocab_size) - row.at(target);
  }
}

template <class T>
void gradients_of(const CrossEntropyRows& rows, T* logits, int64_t begin, int64_t end) {
  const auto scale = hn::Set(kTag, rows.grad_scale);
  for (int64_t i = begin; i < end; ++i) {
    T* values = logits + i * rows.row_stride;
    const int64_t target = rows.targets[i];
    if (target == rows.ignore_index) {
      rows.losses[i] = 0;
      std::memset(values, 0, static_cast<size_t>(rows.vocab_size) * sizeof(T));
      continue;
    }
    const Logits<T> row{values, rows.bias};
    const float total = log_sum_exp(row, rows.vocab_size), target_logit = row.at(target);
    rows.losses[i] = total - target_logit;
    const auto shift = hn::Set(kTag, total);
    for_each_vector(rows.vocab_size, [&](int64_t v, int64_t count, int) EVERLONG_VECTOR_BODY {
      row::store(hn::Mul(row::exp(hn::Sub(row.load(v, count), shift)), scale), values + v, count);
    });
    const float grad = std::expm1(target_logit - total) * rows.grad_scale;
    row::store(hn::Set(kTag, grad), values + target, 1);
  }
}

void losses_fp32(const CrossEntropyRows& rows, const float* logits, int64_t begin, int64_t end) { losses_of(rows, logits, begin, end); }
void losses_bf16(const CrossEntropyRows& rows, const uint16_t* logits, int64_t begin, int64_t end) { losses_of(rows, logits, begin, end); }
void gradients_fp32(const CrossEntropyRows& rows, float* logits, int64_t begin, int64_t end) { gradients_of(rows, logits, begin, end); }
void gradients_bf16(const CrossEntropyRows& rows, uint16_t* logits, int64_t begin, int64_t end) { gradients_of(rows, logits, begin, end); }

}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace everlong::kernels {
namespace {

HWY_EXPORT(losses_fp32);
HWY_EXPORT(losses_bf16);
HWY_EXPORT(gradients_fp32);
HWY_EXPORT(gradients_bf16);

/// Rows that are worth a thread of their own.
int64_t grain(const CrossEntropyRows& rows) { return std::max<int64_t>(1, (int64_t{1} << 14) / std::max<int64_t>(1, rows.vocab_size)); }

}  // namespace

void cross_entropy(const CrossEntropyRows& rows, const float* logits, const ParallelFor& parallel_for) {
  parallel_for(0, rows.num_rows, grain(rows), [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(losses_fp32)(rows, logits, begin, end); });
}

void cross_entropy(const CrossEntropyRows& rows, const uint16_t* logits, const ParallelFor& parallel_for) {
  parallel_for(0, rows.num_rows, grain(rows), [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(losses_bf16)(rows, logits, begin, end); });
}

void cross_entropy_backward(const CrossEntropyRows& rows, float* logits, const ParallelFor& parallel_for) {
  parallel_for(0, rows.num_rows, grain(rows), [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(gradients_fp32)(rows, logits, begin, end); });
}

void cross_entropy_backward(const CrossEntropyRows& rows, uint16_t* logits, const ParallelFor& parallel_for) {
  parallel_for(0, rows.num_rows, grain(rows), [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(gradients_bf16)(rows, logits, begin, end); });
}

}  // namespace everlong::kernels
#endif
