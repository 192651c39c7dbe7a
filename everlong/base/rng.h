#pragma once
// Random numbers that are a function of (seed, stream, counter): the same on every machine, resumable from three integers.

#include <array>
#include <cstdint>

namespace everlong {

/// Philox 4x32-10: four 32-bit words for one counter under one key.
/// Source   Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. Exact: matches the Random123 known answers.
[[nodiscard]] std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// Where a generator stands. Saving these three integers saves the generator.
struct RngPosition {
  uint64_t seed = 0;
  uint64_t stream = 0;   ///< independent sequences of one seed: data order, sampling, dropout
  uint64_t counter = 0;  ///< words drawn so far

  friend bool operator==(const RngPosition&, const RngPosition&) = default;
};

/// A sequence of random words that can be continued from its position.
class CounterRng {
 public:
  explicit CounterRng(RngPosition position) : position_(position) {}
  CounterRng(uint64_t seed, uint64_t stream) : position_{seed, stream, 0} {}

  [[nodiscard]] uint64_t next_u64();
  /// Uniform in [0, 1), 53 bits.
  [[nodiscard]] double next_uniform();
  /// Uniform in [0, bound), without bias. Units  bound >= 1
  [[nodiscard]] uint64_t next_below(uint64_t bound);

  [[nodiscard]] const RngPosition& position() const { return position_; }

 private:
  RngPosition position_;
};

}  // namespace everlong
