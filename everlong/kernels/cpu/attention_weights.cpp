#include "everlong/kernels/cpu/attention_weights.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "everlong/base/rng.h"

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "everlong/kernels/cpu/attention_weights.cpp"
#include <hwy/foreach_target.h>

#include "everlong/kernels/cpu/attention_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

template <class T>
void forward_bands(const AttentionBlock& block, T* scores, int64_t begin, int64_t end) {
  for_each_row(block, begin, end, [&](const RowPlace& place, auto function, auto masked, auto biased) {
    T* values = scores + place.matrix * block.matrix_stride + place.query * block.query_stride;
    forward_row<function.value, masked.value, biased.value>(block, place, values);
  });
}

template <class T>
void backward_bands(const AttentionBlock& block, T* scores, T* grad_weights, float* bias_bands, int64_t begin, int64_t end) {
  const int64_t band_size = block.num_keys + kBiasBandRows - 1;
  if (bias_bands != nullptr) std::fill(bias_bands + begin * band_size, bias_bands + end * band_size, 0.0f);
  for_each_row(block, begin, end, [&](const RowPlace& place, auto function, auto masked, auto biased) {
    const int64_t offset = place.matrix * block.matrix_stride + place.query * block.query_stride;
    float* bias_row = bias_bands == nullptr ? nullptr : bias_bands + place.band * band_size + kBiasBandRows - 1 - place.query % kBiasBandRows;
    backward_row<function.value, masked.value, biased.value>(block, place, scores + offset, grad_weights + offset, bias_row);
  });
}

void forward_fp32(const AttentionBlock& block, float* scores, int64_t begin, int64_t end) { forward_bands(block, scores, begin, end); }
void forward_bf16(const AttentionBlock& block, uint16_t* scores, int64_t begin, int64_t end) { forward_bands(block, scores, begin, end); }
void backward_fp32(const AttentionBlock& block, float* scores, float* grad_weights, float* bias_bands, int64_t begin, int64_t end) {
  backward_bands(block, scores, grad_weights, bias_bands, begin, end);
}
void backward_bf16(const AttentionBlock& block, uint16_t* scores, uint16_t* grad_weights, float* bias_bands, int64_t begin, int64_t end) {
  backward_bands(block, scores, grad_weights, bias_bands, begin, end);
}

}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace everlong::kernels {
namespace {

HWY_EXPORT(forward_fp32);
HWY_EXPORT(forward_bf16);
HWY_EXPORT(backward_fp32);
HWY_EXPORT(backward_bf16);

int64_t bands_per_matrix(const AttentionBlock& block) { return (block.num_queries + kBiasBandRows - 1) / kBiasBandRows; }
int64_t num_bands(const AttentionBlock& block) { return static_cast<int64_t>(block.matrices.size()) * bands_per_matrix(block); }

/// Bands that are worth a thread of their own.
int64_t grain(const AttentionBlock& block) {
  constexpr int64_t kScores = 1 << 14;
  return std::max<int64_t>(1, kScores / std::max<int64_t>(1, block.num_keys * std::min(kBiasBandRows, block.num_queries)));
}

}  // namespace

void attention_weights(const AttentionBlock& block, float* scores, const ParallelFor& parallel_for) {
  parallel_for(0, num_bands(block), grain(block), [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(forward_fp32)(block, scores, begin, end); });
}

void attention_weights(const AttentionBlock& block, uint16_t* scores, const ParallelFor& parallel_for) {
  parallel_for(0, num_bands(block), grain(block), [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(forward_bf16)(block, scores, begin, end); });
}

void attention_weights_backward(const AttentionBlock& block, float* scores, float* grad_weights, float* bias_bands, const ParallelFor& parallel_for) {
  parallel_for(0, num_bands(block), grain(block), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(backward_fp32)(block, scores, grad_weights, bias_bands, begin, end);
  });
}

void attention_weights_backward(const AttentionBlock& block, uint16_t* scores, uint16_t* grad_weights, float* bias_bands,
                                const ParallelFor& parallel_for) {
  parallel_for(0, num_bands(block), grain(block), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(backward_bf16)(block, scores, grad_weights, bias_bands, begin, end);
  });
}

int64_t bias_bands_size(const AttentionBlock& block) { return num_bands(block) * (block.num_keys + kBiasBandRows - 1); }

void add_bias_bands(const AttentionBlock& block, const float* bias_bands, double* grad_bias) {
  const int64_t band_size = block.num_keys + kBiasBandRows - 1, bands = bands_per_matrix(block);
  for (int64_t band = 0; band < num_bands(block); ++band, bias_bands += band_size) {
    const int64_t first_query = band % bands * kBiasBandRows, rows = std::min(kBiasBandRows, block.num_queries - first_query);
    double* target = grad_bias - (block.query_place + first_query) - (kBiasBandRows - 1);
    for (int64_t i = kBiasBandRows - rows; i < band_size; ++i) target[i] += static_cast<double>(bias_bands[i]);
  }
}

void attention_dropout_factors(double dropout, uint64_t seed, int64_t query, std::span<float> factors) {
  const DropoutRule rule(dropout, seed);
  uint16_t words[kDropoutBlock];
  for (size_t begin = 0; begin < factors.size(); begin += kDropoutBlock) {
    rule.words(query, static_cast<int64_t>(begin), words);
    const size_t count = std::min<size_t>(kDropoutBlock, factors.size() - begin);
    for (size_t i = 0; i < count; ++i) factors[begin + i] = words[i] < rule.threshold ? 0.0f : rule.factor;
  }
}

}  // namespace everlong::kernels
#endif
