#pragma once
// Dropout whose mask is a function of (seed, query, key), so that the backward replays it and no bit is stored.

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace everlong::kernels {

inline constexpr int64_t kDropoutBlock = 128;  ///< keys that are decided together

/// A key is dropped where its 16-bit word is below the threshold. p is rounded to a multiple of 2^-16 and the factor follows, so that the
/// expectation of a weight is exact.
struct DropoutRule {
  DropoutRule(double dropout, uint64_t seed_)
      : threshold(static_cast<uint32_t>(std::clamp(std::lround(dropout * 65536), 0L, 65535L))),
        factor(static_cast<float>(65536.0 / (65536.0 - threshold))),
        seed(seed_) {}

  /// Words of the keys [first_key, + kDropoutBlock): 16 runs of Philox 4x32-10 side by side, counter (run, query), two words of 16 bits from
  /// each of 32. Units  first_key is a multiple of kDropoutBlock
  void words(int64_t query, int64_t first_key, uint16_t* out) const {
    constexpr int kRuns = 16;
    uint32_t c0[kRuns], c1[kRuns], c2[kRuns], c3[kRuns];
    const auto high = static_cast<uint32_t>(static_cast<uint64_t>(query) >> 32), low = static_cast<uint32_t>(query);
    for (int r = 0; r < kRuns; ++r) {
      c0[r] = static_cast<uint32_t>(first_key / kDropoutBlock * kRuns + r);
      c1[r] = 0, c2[r] = low, c3[r] = high;
    }
    auto key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u) {
      for (int r = 0; r < kRuns; ++r) {
        const uint64_t product0 = uint64_t{0xD2511F53} * c0[r], product1 = uint64_t{0xCD9E8D57} * c2[r];
        c0[r] = static_cast<uint32_t>(product1 >> 32) ^ c1[r] ^ key0;
        c1[r] = static_cast<uint32_t>(product1);
        c2[r] = static_cast<uint32_t>(product0 >> 32) ^ c3[r] ^ key1;
        c3[r] = static_cast<uint32_t>(product0);
      }
    }
    const uint32_t* columns[] = {c0, c1, c2, c3};
    for (int w = 0; w < 4; ++w) {
      for (int r = 0; r < kRuns; ++r) {
        out[2 * w * kRuns + r] = static_cast<uint16_t>(columns[w][r]);
        out[(2 * w + 1) * kRuns + r] = static_cast<uint16_t>(columns[w][r] >> 16);
      }
    }
  }

  uint32_t threshold;
  float factor;
  uint64_t seed;
};

}  // namespace everlong::kernels
