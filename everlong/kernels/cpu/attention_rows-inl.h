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

/// A vector of keys. Invisible keys up to the end of the row may be read, hold anything, and are to be written as zeros.
struct Keys {
  int64_t begin;
  int64_t visible;  ///< lanes that the query sees; may be more than a vector has
  int64_t room;     ///< lanes that exist
};

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

  HWY_INLINE Vec score(Vec product, Keys keys) const {
    if constexpr (kBiased) return hn::MulAdd(product, scale_, row::load(bias_ + keys.begin, keys.room));
    return hn::Mul(product, scale_);
  }

  /// `value` where a key is attended, `otherwise` elsewhere.
  HWY_INLINE Vec attended(Vec value, Vec otherwise, Keys keys) const {
    if (keys.visible < row::lanes()) value = hn::IfThenElse(hn::FirstN(kTag, static_cast<size_t>(keys.visible)), value, otherwise);
    if constexpr (kMasked) value = hn::IfThenElse(row::load_flags(matrix_.key_valid + keys.begin, keys.room), value, otherwise);
    return value;
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

/// Calls body(keys) for the vectors of a row that hold visible keys.
template <class Body>
HWY_INLINE void for_each_vector(const AttentionBlock& block, const RowPlace& place, const Body& body) {
  const int64_t lanes = row::lanes();
  int64_t j = 0;
  for (; j + lanes <= place.num_visible; j += lanes) body(Keys{j, lanes, lanes});
  if (j < place.num_visible) body(Keys{j, place.num_visible - j, block.num_keys - j});
}

template <class T>
HWY_INLINE void fill_zero(T* values, int64_t begin, int64_t end) {
  if (begin < end) std::memset(values + begin, 0, static_cast<size_t>(end - begin) * sizeof(T));
}

/// Keys behind the last vector that for_each_vector visits.
HWY_INLINE int64_t first_unvisited(const RowPlace& place) { return (place.num_visible + row::lanes() - 1) / row::lanes() * row::lanes(); }

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
void softmax_row(Row<kMasked, kBiased>& row, const AttentionBlock& block, const RowPlace& place, T* values) {
  const auto lowest = hn::Set(kTag, -std::numeric_limits<float>::infinity());
  const auto score = [&](Keys keys) HWY_ATTR { return row.attended(row.score(row::load(values + keys.begin, keys.room), keys), lowest, keys); };
  auto largest = lowest;
  for_each_vector(block, place, [&](Keys keys) EVERLONG_VECTOR_BODY { largest = hn::Max(largest, score(keys)); });
  const float top = row::max(largest);
  float* log_sum_exp = row.matrix().log_sum_exp;
  if (top == -std::numeric_limits<float>::infinity()) {
    fill_zero(values, 0, std::min(first_unvisited(place), block.num_keys));
    if (log_sum_exp != nullptr) log_sum_exp[place.query] = top;
    return;
  }
  const auto shift = hn::Set(kTag, top);
  auto total = hn::Zero(kTag);
  for_each_vector(block, place, [&](Keys keys) EVERLONG_VECTOR_BODY { total = hn::Add(total, row::exp(hn::Sub(score(keys), shift))); });
  const float sum = row::sum(total);
  if (log_sum_exp != nullptr) log_sum_exp[place.query] = top + std::log(sum);
  const auto inverse = hn::Set(kTag, 1 / sum);
  for_each_vector(block, place, [&](Keys keys) EVERLONG_VECTOR_BODY {
    auto weight = hn::Mul(row::exp(hn::Sub(score(keys), shift)), inverse);
    if (row.drops()) weight = row.dropped(weight, keys.begin);
    row::store(weight, values + keys.begin, keys.room);
  });
}

template <AttentionFunction kFunction, bool kMasked, bool kBiased, class T>
void forward_row(const AttentionBlock& block, const RowPlace& place, T* values) {
  Row<kMasked, kBiased> row(block, place);
  if constexpr (kFunction == AttentionFunction::softmax) {
    softmax_row(row, block, place, values);
  } else {
    for_each_vector(block, place, [&](Keys keys) EVERLONG_VECTOR_BODY {
      auto weight = elementwise<kFunction>(row.score(row::load(values + keys.begin, keys.room), keys));
      weight = row.attended(weight, hn::Zero(kTag), keys);
      if (row.drops()) weight = row.dropped(weight, keys.begin);
      row::store(weight, values + keys.begin, keys.room);
    });
  }
  fill_zero(values, first_unvisited(place), block.num_keys);
}

HWY_INLINE void add_to(float* sums, Vec value, int64_t room) { row::store(hn::Add(row::load(sums, room), value), sums, room); }

template <bool kMasked, bool kBiased, class T>
void softmax_row_backward(Row<kMasked, kBiased>& row, const AttentionBlock& block, const RowPlace& place, T* values, T* grads, float* bias_row) {
  const float log_sum_exp = row.matrix().log_sum_exp[place.query];
  if (log_sum_exp == -std::numeric_limits<float>::infinity()) {
    fill_zero(values, 0, std::min(first_unvisited(place), block.num_keys));
    fill_zero(grads, 0, std::min(first_unvisited(place), block.num_keys));
    return;
  }
  const auto shift = hn::Set(kTag, log_sum_exp), scale = hn::Set(kTag, place.scale), zero = hn::Zero(kTag);
  const auto weight_of = [&](Keys keys) EVERLONG_VECTOR_BODY {
    const auto weight = row::exp(hn::Sub(row.score(row::load(values + keys.begin, keys.room), keys), shift));
    return row.attended(weight, zero, keys);
  };
  const auto grad_of = [&](Keys keys) EVERLONG_VECTOR_BODY {
    const auto grad = row.attended(row::load(grads + keys.begin, keys.room), zero, keys);
    return row.drops() ? row.dropped(grad, keys.begin) : grad;
  };
  auto total = zero;
  for_each_vector(block, place, [&](Keys keys) EVERLONG_VECTOR_BODY { total = hn::MulAdd(weight_of(keys), grad_of(keys), total); });
  const auto mean = hn::Set(kTag, row::sum(total));
  for_each_vector(block, place, [&](Keys keys) EVERLONG_VECTOR_BODY {
    const auto weight = weight_of(keys);
    const auto grad = hn::Mul(weight, hn::Sub(grad_of(keys), mean));
    if (bias_row != nullptr) add_to(bias_row + keys.begin, grad, keys.room);
    row::store(row.drops() ? row.dropped(weight, keys.begin) : weight, values + keys.begin, keys.room);
    row::store(hn::Mul(grad, scale), grads + keys.begin, keys.room);
  });
}

/// values: products in, weights out. grads: gradient of the weights in, of the products out. bias_row: the accumulator's entry of key 0.
template <AttentionFunction kFunction, bool kMasked, bool kBiased, class T>
void backward_row(const AttentionBlock& block, const RowPlace& place, T* values, T* grads, float* bias_row) {
  Row<kMasked, kBiased> row(block, place);
  if constexpr (kFunction == AttentionFunction::softmax) {
    softmax_row_backward(row, block, place, values, grads, bias_row);
  } else {
    const auto scale = hn::Set(kTag, place.scale), zero = hn::Zero(kTag);
    for_each_vector(block, place, [&](Keys keys) EVERLONG_VECTOR_BODY {
      const auto score = row.score(row::load(values + keys.begin, keys.room), keys);
      auto weight = row.attended(elementwise<kFunction>(score), zero, keys);
      auto grad = row.attended(hn::Mul(elementwise_slope<kFunction>(score), row::load(grads + keys.begin, keys.room)), zero, keys);
      if (row.drops()) {
        weight = row.dropped(weight, keys.begin);
        grad = row.dropped(grad, keys.begin);
      }
      if (bias_row != nullptr) add_to(bias_row + keys.begin, grad, keys.room);
      row::store(weight, values + keys.begin, keys.room);
      row::store(hn::Mul(grad, scale), grads + keys.begin, keys.room);
    });
  }
  fill_zero(values, first_unvisited(place), block.num_keys);
  fill_zero(grads, first_unvisited(place), block.num_keys);
}

}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
