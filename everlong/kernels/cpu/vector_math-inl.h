// Vector loads, stores and functions that the row kernels share, once for each instruction set. Included by way of hwy/foreach_target.h: no
// #pragma once.
#if defined(EVERLONG_KERNELS_CPU_VECTOR_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVERLONG_KERNELS_CPU_VECTOR_MATH_INL_H_
#undef EVERLONG_KERNELS_CPU_VECTOR_MATH_INL_H_
#else
#define EVERLONG_KERNELS_CPU_VECTOR_MATH_INL_H_
#endif

#include <cstdint>
#include <cstring>

#include <hwy/highway.h>

#ifndef EVERLONG_VECTOR_BODY
/// Of a lambda that is the body of a vector loop: compiled for the loop's instruction set, and into the loop, where its counts are constants.
#define EVERLONG_VECTOR_BODY HWY_ATTR __attribute__((always_inline))
#endif

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {
namespace row {

namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<float, 16>;
using Vec = hn::Vec<Tag>;
using Bits = hn::RebindToUnsigned<Tag>;
using Half = hn::Rebind<uint16_t, Tag>;
using Bytes = hn::Rebind<uint8_t, Tag>;
inline constexpr Tag kTag{};

HWY_INLINE int64_t lanes() { return static_cast<int64_t>(hn::Lanes(kTag)); }

HWY_INLINE Vec load(const float* p) { return hn::LoadU(kTag, p); }

HWY_INLINE Vec load(const uint16_t* p) { return hn::BitCast(kTag, hn::ShiftLeft<16>(hn::PromoteTo(Bits(), hn::LoadU(Half(), p)))); }

HWY_INLINE void store(Vec v, float* p) { hn::StoreU(v, kTag, p); }

/// Rounds to the nearest bfloat16, ties to even; NaN stays NaN.
HWY_INLINE void store(Vec v, uint16_t* p) {
  const auto u = hn::BitCast(Bits(), v);
  const auto odd = hn::And(hn::ShiftRight<16>(u), hn::Set(Bits(), 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(u, odd), hn::Set(Bits(), 0x7fff)));
  const auto is_nan = hn::RebindMask(Bits(), hn::IsNaN(v));
  hn::StoreU(hn::TruncateTo(Half(), hn::IfThenElse(is_nan, hn::Set(Bits(), 0x7fc0), rounded)), Half(), p);
}

/// Loads or stores `count` < lanes() values; the other lanes are zero.
template <class T>
HWY_INLINE Vec load_some(const T* p, int64_t count) {
  T buffer[16] = {};
  std::memcpy(buffer, p, static_cast<size_t>(count) * sizeof(T));
  return load(buffer);
}
template <class T>
HWY_INLINE void store_some(Vec v, T* p, int64_t count) {
  T buffer[16];
  store(v, buffer);
  std::memcpy(p, buffer, static_cast<size_t>(count) * sizeof(T));
}
template <class T>
HWY_INLINE Vec load(const T* p, int64_t count) {
  return count >= lanes() ? load(p) : load_some(p, count);
}
template <class T>
HWY_INLINE void store(Vec v, T* p, int64_t count) {
  if (count >= lanes()) {
    store(v, p);
  } else {
    store_some(v, p, count);
  }
}

/// True where one of `count` flags is set; lanes behind them are false.
HWY_INLINE hn::Mask<Tag> load_flags(const bool* p, int64_t count) {
  uint8_t buffer[16] = {};
  const auto* bytes = reinterpret_cast<const uint8_t*>(p);
  if (count < lanes()) {
    std::memcpy(buffer, p, static_cast<size_t>(count));
    bytes = buffer;
  }
  const auto wide = hn::PromoteTo(Bits(), hn::LoadU(Bytes(), bytes));
  return hn::RebindMask(kTag, hn::Ne(wide, hn::Zero(Bits())));
}

/// e^x within 2 ulp for x <= 88; exactly 0 below -87.3; NaN stays NaN.
/// Source   Cody-Waite reduction to |r| <= ln(2) / 2 and the Taylor polynomial of degree 7 (truncation below 6e-9).
HWY_INLINE Vec exp(Vec x) {
  const auto n = hn::Round(hn::Mul(x, hn::Set(kTag, 1.44269504f)));
  const auto high = hn::NegMulAdd(n, hn::Set(kTag, 0.693359375f), x);
  const auto r = hn::NegMulAdd(n, hn::Set(kTag, -2.12194440e-4f), high);
  auto p = hn::Set(kTag, 1.0f / 5040);
  p = hn::MulAdd(p, r, hn::Set(kTag, 1.0f / 720));
  p = hn::MulAdd(p, r, hn::Set(kTag, 1.0f / 120));
  p = hn::MulAdd(p, r, hn::Set(kTag, 1.0f / 24));
  p = hn::MulAdd(p, r, hn::Set(kTag, 1.0f / 6));
  p = hn::MulAdd(p, r, hn::Set(kTag, 0.5f));
  p = hn::MulAdd(p, r, hn::Set(kTag, 1.0f));
  p = hn::MulAdd(p, r, hn::Set(kTag, 1.0f));
  const hn::RebindToSigned<Tag> integers;
  const auto power = hn::BitCast(kTag, hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(integers, n), hn::Set(integers, 127))));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(kTag, -87.3f)), hn::Mul(p, power));
}

/// (1 + erf(x)) / 2 within 1e-7.
/// Source   erfc(t) = exp(-t P(t)) on [0, 4] with P of degree 7, fitted for the smallest largest error (1.6e-8); erfc(4) = 1.5e-8.
HWY_INLINE Vec normal_cdf(Vec x) {
  const auto t = hn::Min(hn::Set(kTag, 4.0f), hn::Abs(x));
  auto p = hn::Set(kTag, 3.144070945e-05f);
  p = hn::MulAdd(p, t, hn::Set(kTag, -3.088051583e-04f));
  p = hn::MulAdd(p, t, hn::Set(kTag, 1.032407013e-03f));
  p = hn::MulAdd(p, t, hn::Set(kTag, 5.369306998e-04f));
  p = hn::MulAdd(p, t, hn::Set(kTag, -1.958396257e-02f));
  p = hn::MulAdd(p, t, hn::Set(kTag, 1.029196162e-01f));
  p = hn::MulAdd(p, t, hn::Set(kTag, 6.365977325e-01f));
  p = hn::MulAdd(p, t, hn::Set(kTag, 1.128380252f));
  const auto half_erfc = hn::Mul(hn::Set(kTag, 0.5f), exp(hn::Neg(hn::Mul(p, t))));
  return hn::IfThenElse(hn::Lt(x, hn::Zero(kTag)), half_erfc, hn::Sub(hn::Set(kTag, 1.0f), half_erfc));
}

/// 1 / (1 + e^-x); never overflows.
HWY_INLINE Vec sigmoid(Vec x) {
  const auto e = exp(hn::Neg(hn::Abs(x))), s = hn::Div(hn::Set(kTag, 1.0f), hn::Add(hn::Set(kTag, 1.0f), e));
  return hn::IfThenElse(hn::Lt(x, hn::Zero(kTag)), hn::Mul(e, s), s);
}
HWY_INLINE Vec silu(Vec x) { return hn::Mul(x, sigmoid(x)); }

/// Calls body(first, count) for the vectors of [0, width).
template <class Body>
HWY_INLINE void each(int64_t width, const Body& body) {
  int64_t i = 0;
  for (; i + lanes() <= width; i += lanes()) body(i, lanes());
  if (i < width) body(i, width - i);
}

HWY_INLINE float sum(Vec v) { return hn::GetLane(hn::SumOfLanes(kTag, v)); }
HWY_INLINE float max(Vec v) { return hn::GetLane(hn::MaxOfLanes(kTag, v)); }

}  // namespace row
}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
