// One row of attention weights, forward and backward, once for each instruction set. Included by way of hwy/foreach_target.h: no #pragma once.
#if defined(EVERLONG_KERNELS_CPU_ATTENTION_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVERLONG_KERNELS_CPU_ATTENTION_ROWS_INL_H_
#undef EVERLONG_KERNELS_CPU_ATTENTION_ROWS_INL_H_
#else
#define EVERLONG_KERNELS_CPU_ATTENTION_ROWS_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "everlong/kernels/cpu/attention_dropout.h"
#include "everlong/kernels/cpu/attention_weights.h"
#include "everlong/kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using row::kTag;
using row::Vec;

struct RowPlace {
  int64_t matrix = 0;
  int64_t query = 0;
  int64_t band = 0;
  int64_t num_visible = 0;  ///< keys up to the query's place, masked ones included
  float scale = 1;          ///< of the products
};

/// Calls body(place, function, masked, biased) for the rows of the bands [begin, end), the last three as types.
template <class Body>
void for_each_row(const AttentionBlock& block, int64_t begin, int64_t end, const Body& body) {
  using Function = AttentionFunction;
  const int64_t bands = (block.num_queries + kBiasBandRows - 1) / kBiasBandRows;
  const bool softmax = block.function == Function::softmax;
  const auto with_bias = [&](const RowPlace& place, auto function, auto masked) {
    if (block.bias != nullptr) {
      body(place, function, masked, std::true_type{});
    } else {
      body(place, function, masked, std::false_type{});
    }
  };
  const auto with_mask = [&](const RowPlace& place, auto function, bool masked) {
    if (masked) {
      with_bias(place, function, std::true_type{});
    } else {
      with_bias(place, function, std::false_type{});
    }
  };
  for (int64_t band = begin; band < end; ++band) {
    RowPlace place{.matrix = band / bands, .band = band};
    const bool* valid = block.matrices[static_cast<size_t>(place.matrix)].key_valid;
    int64_t num_valid = block.num_keys;
    if (valid != nullptr && !block.causal) num_valid = std::count(valid, valid + block.num_keys, true);
    const bool masked = valid != nullptr && (num_valid > 0 || block.causal || !softmax || !block.attend_if_all_masked);

    const int64_t first = band % bands * kBiasBandRows, last = std::min(first + kBiasBandRows, block.num_queries);
    for (place.query = first; place.query < last; ++place.query) {
      const int64_t reach = block.query_place + place.query + 1;
      place.num_visible = block.causal ? std::min(reach, block.num_keys) : block.num_keys;
      place.scale = softmax ? block.scale : 1.0f / static_cast<float>(block.causal ? reach : std::max<int64_t>(1, num_valid));
      switch (block.function) {
        case Function::softmax:
          with_mask(place, std::integral_constant<Function, Function::softmax>{}, masked);
          break;
        case Function::relu2:
          with_mask(place, std::integral_constant<Function, Function::relu2>{}, masked);
          break;
        case Function::laplace:
          with_mask(place, std::integral_constant<Function, Function::laplace>{}, masked);
          break;
      }
    }
  }
}

/// What a row reads besides its products.
template <bool kMasked, bool kBiased>
class Row {
 public:
  Row(const AttentionBlock& block, const RowPlace& place)
      : matrix_(block.matrices[static_cast<size_t>(place.matrix)]),
        scale_(hn::Set(kTag, place.scale)),
        bias_(kBiased ? block.bias - (block.query_place + place.query) : nullptr),
        dropout_(block.dropout, block.dropout_seed),
        number_(matrix_.first_query + place.query) {}

  const AttentionMatrix& matrix() const { return matrix_; }
  bool drops() const { return dropout_.threshold > 0; }

  HWY_INLINE Vec score(Vec product, int64_t j, int64_t count) const {
    if constexpr (kBiased) return hn::MulAdd(product, scale_, row::load(bias_ + j, count));
    return hn::Mul(product, scale_);
  }

  /// `value` where key j may be attended, `masked` elsewhere and in the lanes behind `count`.
  HWY_INLINE Vec attended(Vec value, Vec masked, int64_t j, int64_t count) const {
    if constexpr (kMasked) return hn::IfThenElse(row::load_flags(matrix_.key_valid + j, count), value, masked);
    if (count >= row::lanes()) return value;
    return hn::IfThenElse(hn::FirstN(kTag, static_cast<size_t>(count)), value, masked);
  }

  /// Multiplies with the dropout factors of the keys from j on; keys come in ascending order.
  HWY_INLINE Vec dropped(Vec value, int64_t j) {
    const int64_t first = j / kDropoutBlock * kDropoutBlock;
    if (first != words_of_) dropout_.words(number_, words_of_ = first, words_);
    const hn::RebindToSigned<row::Tag> integers;
    const auto words = hn::PromoteTo(integers, hn::LoadU(row::Half(), words_ + (j - first)));
    const auto drop = hn::RebindMask(kTag, hn::Lt(words, hn::Set(integers, static_cast<int32_t>(dropout_.threshold))));
    return hn::IfThenZeroElse(drop, hn::Mul(value, hn::Set(kTag, dropout_.factor)));
  }

 private:
  const AttentionMatrix& matrix_;
  Vec scale_;
  const float* bias_;
  DropoutRule dropout_;
  int64_t number_;
  int64_t words_of_ = -1;
  uint16_t words_[kDropoutBlock];
};

/// Calls body(j, count) for the vectors of keys [0, n).
template <class Body>
HWY_INLINE void for_each_vector(int64_t n, const Body& body) {
  const int64_t lanes = row::lanes();
  int64_t j = 0;
  for (; j + lanes <= n; j += lanes) body(j, lanes);
  if (j < n) body(j, n - j);
}

template <class T>
HWY_INLINE void fill_zero(T* values, int64_t begin, int64_t end) {
  if (begin < end) std::memset(values + begin, 0, static_cast<size_t>(end - begin) * sizeof(T));
}

template <AttentionFunction kFunction>
HWY_INLINE Vec elementwise(Vec score) {
  if constexpr (kFunction == AttentionFunction::relu2) {
    const auto positive = hn::Max(hn::Zero(kTag), score);
    return hn::Mul(positive, positive);
  } else {
    constexpr double kInverse = 1 / (kLaplaceDeviation * 1.4142135623730951);
    return row::normal_cdf(hn::Mul(hn::Sub(score, hn::Set(kTag, static_cast<float>(kLaplaceMean))), hn::Set(kTag, static_cast<float>(kInverse))));
  }
}

template <AttentionFunction kFunction>
HWY_INLINE Vec elementwise_slope(Vec score) {
  if constexpr (kFunction == AttentionFunction::relu2) {
    const auto positive = hn::Max(hn::Zero(kTag), score);
    return hn::Add(positive, positive);
  } else {
    constexpr double kInverse = 1 / (kLaplaceDeviation * 1.4142135623730951), kPeak = 0.3989422804014327 / kLaplaceDeviation;
    const auto x = hn::Mul(hn::Sub(score, hn::Set(kTag, static_cast<float>(kLaplaceMean))), hn::Set(kTag, static_cast<float>(kInverse)));
    return hn::Mul(hn::Set(kTag, static_cast<float>(kPeak)), row::exp(hn::Neg(hn::Mul(x, x))));
  }
}

template <bool kMasked, bool kBiased, class T>
void softmax_row(Row<kMasked, kBiased>& row, const RowPlace& place, T* values) {
  const auto lowest = hn::Set(kTag, -std::numeric_limits<float>::infinity());
  const auto score = [&](int64_t j, int64_t count)
                         HWY_ATTR { return row.attended(row.score(row::load(values + j, count), j, count), lowest, j, count); };
  auto largest = lowest;
  for_each_vector(place.num_visible, [&](int64_t j, int64_t count) HWY_ATTR { largest = hn::Max(largest, score(j, count)); });
  const float top = row::max(largest);
  float* log_sum_exp = row.matrix().log_sum_exp;
  if (top == -std::numeric_limits<float>::infinity()) {
    fill_zero(values, 0, place.num_visible);
    if (log_sum_exp != nullptr) log_sum_exp[place.query] = top;
    return;
  }
  const auto shift = hn::Set(kTag, top);
  auto total = hn::Zero(kTag);
  for_each_vector(place.num_visible, [&](int64_t j, int64_t count) HWY_ATTR { total = hn::Add(total, row::exp(hn::Sub(score(j, count), shift))); });
  const float sum = row::sum(total);
  if (log_sum_exp != nullptr) log_sum_exp[place.query] = top + std::log(sum);
  const auto inverse = hn::Set(kTag, 1 / sum);
  for_each_vector(place.num_visible, [&](int64_t j, int64_t count) HWY_ATTR {
    auto weight = hn::Mul(row::exp(hn::Sub(score(j, count), shift)), inverse);
    if (row.drops()) weight = row.dropped(weight, j);
    row::store(weight, values + j, count);
  });
}

template <AttentionFunction kFunction, bool kMasked, bool kBiased, class T>
void forward_row(const AttentionBlock& block, const RowPlace& place, T* values) {
  Row<kMasked, kBiased> row(block, place);
  if constexpr (kFunction == AttentionFunction::softmax) {
    softmax_row(row, place, values);
  } else {
    for_each_vector(place.num_visible, [&](int64_t j, int64_t count) HWY_ATTR {
      auto weight = elementwise<kFunction>(row.score(row::load(values + j, count), j, count));
      weight = row.attended(weight, hn::Zero(kTag), j, count);
      if (row.drops()) weight = row.dropped(weight, j);
      row::store(weight, values + j, count);
    });
  }
  fill_zero(values, place.num_visible, block.num_keys);
}

HWY_INLINE void add_to(float* sums, Vec value, int64_t count) { row::store(hn::Add(row::load(sums, count), value), sums, count); }

template <bool kMasked, bool kBiased, class T>
void softmax_row_backward(Row<kMasked, kBiased>& row, const RowPlace& place, T* values, T* grads, float* bias_row) {
  const float log_sum_exp = row.matrix().log_sum_exp[place.query];
  if (log_sum_exp == -std::numeric_limits<float>::infinity()) {
    fill_zero(values, 0, place.num_visible);
    fill_zero(grads, 0, place.num_visible);
    return;
  }
  const auto shift = hn::Set(kTag, log_sum_exp), scale = hn::Set(kTag, place.scale), zero = hn::Zero(kTag);
  const auto weight_of = [&](int64_t j, int64_t count) HWY_ATTR {
    const auto weight = row::exp(hn::Sub(row.score(row::load(values + j, count), j, count), shift));
    return row.attended(weight, zero, j, count);
  };
  const auto grad_of = [&](int64_t j, int64_t count) HWY_ATTR {
    const auto grad = row::load(grads + j, count);
    return row.drops() ? row.dropped(grad, j) : grad;
  };
  auto total = zero;
  for_each_vector(place.num_visible, [&](int64_t j, int64_t count) HWY_ATTR { total = hn::MulAdd(weight_of(j, count), grad_of(j, count), total); });
  const auto mean = hn::Set(kTag, row::sum(total));
  for_each_vector(place.num_visible, [&](int64_t j, int64_t count) HWY_ATTR {
    const auto weight = weight_of(j, count);
    const auto grad = hn::Mul(weight, hn::Sub(grad_of(j, count), mean));
    if (bias_row != nullptr) add_to(bias_row + j, grad, count);
    row::store(row.drops() ? row.dropped(weight, j) : weight, values + j, count);
    row::store(hn::Mul(grad, scale), grads + j, count);
  });
}

/// values: products in, weights out. grads: gradient of the weights in, of the products out. bias_row: the accumulator's entry of key 0.
template <AttentionFunction kFunction, bool kMasked, bool kBiased, class T>
void backward_row(const AttentionBlock& block, const RowPlace& place, T* values, T* grads, float* bias_row) {
  Row<kMasked, kBiased> row(block, place);
  if constexpr (kFunction == AttentionFunction::softmax) {
    softmax_row_backward(row, place, values, grads, bias_row);
  } else {
    const auto scale = hn::Set(kTag, place.scale), zero = hn::Zero(kTag);
    for_each_vector(place.num_visible, [&](int64_t j, int64_t count) HWY_ATTR {
      const auto score = row.score(row::load(values + j, count), j, count);
      auto weight = row.attended(elementwise<kFunction>(score), zero, j, count);
      auto grad = row.attended(hn::Mul(elementwise_slope<kFunction>(score), row::load(grads + j, count)), zero, j, count);
      if (row.drops()) {
        weight = row.dropped(weight, j);
        grad = row.dropped(grad, j);
      }
      if (bias_row != nullptr) add_to(bias_row + j, grad, count);
      row::store(weight, values + j, count);
      row::store(hn::Mul(grad, scale), grads + j, count);
    });
  }
  fill_zero(values, place.num_visible, block.num_keys);
  fill_zero(grads, place.num_visible, block.num_keys);
}

}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
