#pragma once
// Single values of either element type to fp32 and back; what the processor does with bfloat16.

#include <cstdint>
#include <cstring>

namespace everlong::kernels {

inline float to_float(float x) { return x; }
inline float to_float(uint16_t x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline void from_float(float x, float* p) { *p = x; }
/// Rounds to the nearest bfloat16, ties to even; NaN stays NaN.
inline void from_float(float x, uint16_t* p) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  *p = x != x ? uint16_t{0x7fc0} : static_cast<uint16_t>((bits + ((bits >> 16) & 1) + 0x7fff) >> 16);
}

/// Whether this processor sums the products of pairs of bfloat16 in fp32 by one instruction, on vectors of 64 bytes.
inline bool has_bf16_dot() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

}  // namespace everlong::kernels
