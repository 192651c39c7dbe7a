#include "everlong/kernels/cpu/gates.h"

#include <algorithm>
#include <cmath>

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "everlong/kernels/cpu/gates.cpp"
#include <hwy/foreach_target.h>

#include "everlong/kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using row::each;
using row::kTag;
using row::sigmoid;
using row::Vec;

HWY_INLINE Vec one() { return hn::Set(kTag, 1.0f); }

/// Derivative of x sigmoid(x), given s = sigmoid(x).
HWY_INLINE Vec silu_slope(Vec x, Vec s) { return hn::Mul(s, hn::MulAdd(x, hn::Sub(one(), s), one())); }

template <class T>
HWY_INLINE T* at(const StridedRows<T>& rows, int64_t r) {
  return rows.data + r * rows.stride;
}

/// 0 or the factor for each of the columns from i on.
HWY_INLINE Vec keep(const DropoutMask& mask, const DropoutRow& key, int64_t i) {
  const hn::RebindToUnsigned<decltype(kTag)> words;
  auto h = hn::Mul(hn::Iota(words, static_cast<uint32_t>(i)), hn::Set(words, 0x9e3779b1u));
  h = hn::Xor(h, hn::Set(words, key.first));
  h = hn::Add(hn::Mul(hn::Xor(h, hn::ShiftRight<16>(h)), hn::Set(words, 0x21f0aaadu)), hn::Set(words, key.second));
  h = hn::Mul(hn::Xor(h, hn::ShiftRight<15>(h)), hn::Set(words, 0x735a2d97u));
  h = hn::Xor(h, hn::ShiftRight<15>(h));
  const auto dropped = hn::RebindMask(kTag, hn::Lt(h, hn::Set(words, mask.threshold)));
  return hn::IfThenZeroElse(dropped, hn::Set(kTag, static_cast<float>(mask.factor)));
}

template <class T>
void dropout(const Dropout<T>& op, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    const DropoutRow key(op.mask, r);
    const T *x = at(op.x, r), *residual = op.residual.data == nullptr ? nullptr : at(op.residual, r);
    T* y = at(op.y, r);
    each(op.shape.width, [&](int64_t i, int64_t n) EVERLONG_VECTOR_BODY {
      const auto kept = hn::Mul(row::load(x + i, n), keep(op.mask, key, i));
      row::store(residual == nullptr ? kept : hn::Add(row::load(residual + i, n), kept), y + i, n);
    });
  }
}

template <class T>
void silu_mul(const SiluMul<T>& op, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    const T *a = at(op.a, r), *b = at(op.b, r);
    T* y = at(op.y, r);
    each(op.shape.width, [&](int64_t i, int64_t n) EVERLONG_VECTOR_BODY {
      const auto x = row::load(b + i, n);
      row::store(hn::Mul(row::load(a + i, n), hn::Mul(x, sigmoid(x))), y + i, n);
    });
  }
}

template <class T>
void silu_mul_backward(const SiluMul<T>& op, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    const T *a = at(op.a, r), *b = at(op.b, r), *dy = at(op.dy, r);
    T *da = at(op.da, r), *db = at(op.db, r);
    each(op.shape.width, [&](int64_t i, int64_t n) EVERLONG_VECTOR_BODY {
      const auto x = row::load(b + i, n), g = row::load(dy + i, n), s = sigmoid(x);
      row::store(hn::Mul(g, hn::Mul(x, s)), da + i, n);
      row::store(hn::Mul(hn::Mul(g, row::load(a + i, n)), silu_slope(x, s)), db + i, n);
    });
  }
}

template <class T>
void silu_residual(const SiluResidual<T>& op, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    const DropoutRow key(op.mask, r);
    const bool drops = op.mask.active();
    const T *a = at(op.a, r), *x = at(op.x, r);
    T* y = at(op.y, r);
    each(op.shape.width, [&](int64_t i, int64_t n) EVERLONG_VECTOR_BODY {
      const auto p = hn::MulAdd(row::load(op.w + i, n), row::load(x + i, n), row::load(a + i, n));
      const auto v = hn::Mul(p, sigmoid(p));
      row::store(drops ? hn::Mul(v, keep(op.mask, key, i)) : v, y + i, n);
    });
  }
}

/// Over blocks of rows, each with its own sums.
template <class T>
void silu_residual_backward(const SiluResidual<T>& op, int64_t begin, int64_t end) {
  const int64_t width = op.shape.width;
  const bool drops = op.mask.active();
  for (int64_t block = begin; block < end; ++block) {
    float* dw = op.dw_blocks + block * width;
    std::fill(dw, dw + width, 0.0f);
    const int64_t last = std::min(op.shape.num_rows, (block + 1) * kRowsPerBlock);
    for (int64_t r = block * kRowsPerBlock; r < last; ++r) {
      const DropoutRow key(op.mask, r);
      const T *a = at(op.a, r), *x = at(op.x, r), *dy = at(op.dy, r);
      T *da = at(op.da, r), *dx = at(op.dx, r);
      each(width, [&](int64_t i, int64_t n) EVERLONG_VECTOR_BODY {
        const auto w = row::load(op.w + i, n), xv = row::load(x + i, n), p = hn::MulAdd(w, xv, row::load(a + i, n));
        const auto kept = drops ? hn::Mul(row::load(dy + i, n), keep(op.mask, key, i)) : row::load(dy + i, n);
        const auto g = hn::Mul(kept, silu_slope(p, sigmoid(p)));
        row::store(g, da + i, n);
        row::store(hn::Mul(g, w), dx + i, n);
        row::store(hn::MulAdd(g, xv, row::load(dw + i, n)), dw + i, n);
      });
    }
  }
}

template <class T>
void gated_update(const GatedUpdate<T>& op, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    const DropoutRow key(op.mask, r);
    const bool drops = op.mask.active();
    const T *x = at(op.x, r), *gate = at(op.gate, r), *a = at(op.a, r), *b = at(op.b, r);
    T* y = at(op.y, r);
    each(op.shape.width, [&](int64_t i, int64_t n) EVERLONG_VECTOR_BODY {
      const auto p = hn::Add(row::load(a + i, n), row::load(b + i, n)), xv = row::load(x + i, n);
      auto candidate = hn::Mul(p, sigmoid(p));
      if (drops) candidate = hn::Mul(candidate, keep(op.mask, key, i));
      row::store(hn::MulAdd(sigmoid(row::load(gate + i, n)), hn::Sub(candidate, xv), xv), y + i, n);
    });
  }
}

template <class T>
void gated_update_backward(const GatedUpdate<T>& op, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    const DropoutRow key(op.mask, r);
    const bool drops = op.mask.active();
    const T *x = at(op.x, r), *gate = at(op.gate, r), *a = at(op.a, r), *b = at(op.b, r), *dy = at(op.dy, r);
    T *dx = at(op.dx, r), *dgate = at(op.dgate, r), *dab = at(op.dab, r);
    each(op.shape.width, [&](int64_t i, int64_t n) EVERLONG_VECTOR_BODY {
      const auto p = hn::Add(row::load(a + i, n), row::load(b + i, n)), xv = row::load(x + i, n), g = row::load(dy + i, n);
      const auto u = sigmoid(row::load(gate + i, n)), s = sigmoid(p);
      const auto gu = hn::Mul(g, u), kept = drops ? keep(op.mask, key, i) : one();
      row::store(hn::Sub(g, gu), dx + i, n);
      row::store(hn::Mul(hn::Mul(gu, hn::Sub(one(), u)), hn::Sub(hn::Mul(hn::Mul(p, s), kept), xv)), dgate + i, n);
      row::store(hn::Mul(hn::Mul(gu, kept), silu_slope(p, s)), dab + i, n);
    });
  }
}

template <class T>
HWY_INLINE Vec weight_at(const RmsNorm<T>& op, int64_t i, int64_t n) {
  if (op.weight == nullptr) return one();
  return op.scalar_weight ? hn::Set(kTag, op.weight[0]) : row::load(op.weight + i, n);
}

template <class T>
void rms_norm(const RmsNorm<T>& op, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    const T* x = at(op.x, r);
    T* y = at(op.y, r);
    auto squares = hn::Zero(kTag);
    each(op.shape.width, [&](int64_t i, int64_t n) EVERLONG_VECTOR_BODY {
      const auto v = row::load(x + i, n);
      squares = hn::MulAdd(v, v, squares);
    });
    const float rstd = 1.0f / std::sqrt(row::sum(squares) / static_cast<float>(op.shape.width) + op.eps);
    op.rstd[r] = rstd;
    const auto scale = hn::Set(kTag, rstd);
    each(op.shape.width,
         [&](int64_t i, int64_t n) EVERLONG_VECTOR_BODY { row::store(hn::Mul(hn::Mul(row::load(x + i, n), scale), weight_at(op, i, n)), y + i, n); });
  }
}

/// dx = r (w dy - x r^2 mean(w dy x)); the weight's gradient is the sum of dy x r over rows, and over channels for a scalar.
template <class T>
void rms_norm_backward_row(const RmsNorm<T>& op, int64_t r, float* dw) {
  const int64_t width = op.shape.width;
  const T *x = at(op.x, r), *dy = at(op.dy, r);
  T* dx = at(op.dx, r);
  const auto scale = hn::Set(kTag, op.rstd[r]);
  auto dot = hn::Zero(kTag), plain = hn::Zero(kTag);
  each(width, [&](int64_t i, int64_t n) EVERLONG_VECTOR_BODY {
    const auto gx = hn::Mul(row::load(dy + i, n), row::load(x + i, n));
    dot = hn::MulAdd(gx, weight_at(op, i, n), dot);
    plain = hn::Add(plain, gx);
    if (dw != nullptr && !op.scalar_weight) row::store(hn::MulAdd(gx, scale, row::load(dw + i, n)), dw + i, n);
  });
  const float total = row::sum(dot);
  if (dw != nullptr && op.scalar_weight) dw[0] += row::sum(plain) * op.rstd[r];
  const auto shift = hn::Set(kTag, total * op.rstd[r] * op.rstd[r] / static_cast<float>(width));
  each(width, [&](int64_t i, int64_t n) EVERLONG_VECTOR_BODY {
    const auto g = hn::Mul(row::load(dy + i, n), weight_at(op, i, n));
    row::store(hn::Mul(scale, hn::NegMulAdd(row::load(x + i, n), shift, g)), dx + i, n);
  });
}

template <class T>
void rms_norm_backward(const RmsNorm<T>& op, int64_t begin, int64_t end) {
  const int64_t sums = op.scalar_weight ? 1 : op.shape.width;
  for (int64_t block = begin; block < end; ++block) {
    float* dw = op.dw_blocks == nullptr ? nullptr : op.dw_blocks + block * sums;
    if (dw != nullptr) std::fill(dw, dw + sums, 0.0f);
    const int64_t last = std::min(op.shape.num_rows, (block + 1) * kRowsPerBlock);
    for (int64_t r = block * kRowsPerBlock; r < last; ++r) rms_norm_backward_row(op, r, dw);
  }
}

#define EVERLONG_GATE(name, Op)                                                              \
  void name##_f32(const Op<float>& op, int64_t begin, int64_t end) { name(op, begin, end); } \
  void name##_bf16(const Op<uint16_t>& op, int64_t begin, int64_t end) { name(op, begin, end); }
EVERLONG_GATE(silu_mul, SiluMul)
EVERLONG_GATE(silu_mul_backward, SiluMul)
EVERLONG_GATE(dropout, Dropout)
EVERLONG_GATE(silu_residual, SiluResidual)
EVERLONG_GATE(silu_residual_backward, SiluResidual)
EVERLONG_GATE(gated_update, GatedUpdate)
EVERLONG_GATE(gated_update_backward, GatedUpdate)
EVERLONG_GATE(rms_norm, RmsNorm)
EVERLONG_GATE(rms_norm_backward, RmsNorm)
#undef EVERLONG_GATE

}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace everlong::kernels {
namespace {

/// Rows that are worth a thread of their own.
int64_t grain(const RowsShape& shape) { return std::max<int64_t>(1, (int64_t{1} << 14) / std::max<int64_t>(1, shape.width)); }

}  // namespace

/// The two dtypes of one function: over rows, or over blocks of rows where there are sums over rows.
#define EVERLONG_DISPATCH(direction, name, Op, items, smallest)                                                               \
  HWY_EXPORT(name##_f32);                                                                                                     \
  HWY_EXPORT(name##_bf16);                                                                                                    \
  template <>                                                                                                                 \
  void direction(const Op<float>& op, const ParallelFor& parallel_for) {                                                      \
    parallel_for(0, items, smallest, [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(name##_f32)(op, begin, end); });  \
  }                                                                                                                           \
  template <>                                                                                                                 \
  void direction(const Op<uint16_t>& op, const ParallelFor& parallel_for) {                                                   \
    parallel_for(0, items, smallest, [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(name##_bf16)(op, begin, end); }); \
  }

EVERLONG_DISPATCH(forward, silu_mul, SiluMul, op.shape.num_rows, grain(op.shape))
EVERLONG_DISPATCH(backward, silu_mul_backward, SiluMul, op.shape.num_rows, grain(op.shape))
EVERLONG_DISPATCH(forward, dropout, Dropout, op.shape.num_rows, grain(op.shape))
EVERLONG_DISPATCH(forward, silu_residual, SiluResidual, op.shape.num_rows, grain(op.shape))
EVERLONG_DISPATCH(backward, silu_residual_backward, SiluResidual, num_row_blocks(op.shape.num_rows), 1)
EVERLONG_DISPATCH(forward, gated_update, GatedUpdate, op.shape.num_rows, grain(op.shape))
EVERLONG_DISPATCH(backward, gated_update_backward, GatedUpdate, op.shape.num_rows, grain(op.shape))
EVERLONG_DISPATCH(forward, rms_norm, RmsNorm, op.shape.num_rows, grain(op.shape))
EVERLONG_DISPATCH(backward, rms_norm_backward, RmsNorm, num_row_blocks(op.shape.num_rows), 1)
#undef EVERLONG_DISPATCH

}  // namespace everlong::kernels
#endif  // HWY_ONCE
