#pragma once
// Arithmetic on sizes that come from outside: the result is right or absent, never wrapped.

#include <concepts>
#include <limits>
#include <optional>
#include <span>
#include <utility>

namespace everlong {

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> checked_add(T a, T b) {
  T sum;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> checked_mul(T a, T b) {
  T product;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

/// Multiplies all of `factors`; the product of none is 1.
template <std::integral T>
[[nodiscard]] constexpr std::optional<T> checked_product(std::span<const T> factors) {
  T product = 1;
  for (const T factor : factors) {
    const auto next = checked_mul(product, factor);
    if (!next) return std::nullopt;
    product = *next;
  }
  return product;
}

/// Converts between integer types, absent where the value does not fit.
template <std::integral To, std::integral From>
[[nodiscard]] constexpr std::optional<To> checked_cast(From value) {
  if (!std::in_range<To>(value)) return std::nullopt;
  return static_cast<To>(value);
}

}  // namespace everlong
