#include "everlong/base/rng.h"

namespace everlong {

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  constexpr uint64_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
  constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = kMultiplier0 * counter[0];
    const uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

uint64_t CounterRng::next_u64() {
  const uint64_t index = position_.counter++;
  const auto words = philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), static_cast<uint32_t>(position_.stream),
                                 static_cast<uint32_t>(position_.stream >> 32)},
                                {static_cast<uint32_t>(position_.seed), static_cast<uint32_t>(position_.seed >> 32)});
  return (static_cast<uint64_t>(words[1]) << 32) | words[0];
}

double CounterRng::next_uniform() { return static_cast<double>(next_u64() >> 11) * 0x1.0p-53; }

uint64_t CounterRng::next_below(uint64_t bound) {
  const uint64_t rejected = (0 - bound) % bound;  // the incomplete last interval would favour small results
  for (;;) {
    const uint64_t word = next_u64();
    if (word >= rejected) return word % bound;
  }
}

}  // namespace everlong
