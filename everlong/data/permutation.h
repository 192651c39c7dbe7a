#pragma once
// A shuffle without a table.

#include <array>
#include <cstdint>

namespace everlong::data {

/// A pseudorandom permutation of 0 .. size - 1, computed entry by entry.
/// Math     a Feistel network over the next even number of bits, with Philox as round function; results >= size are sent through again
/// Cost     O(1) expected an entry, no memory
class Permutation {
 public:
  /// Units    1 <= size <= 2^62. The permutation is a function of size and key alone.
  /// Errors   InvalidArgument if size is outside that
  Permutation(int64_t size, uint64_t key);

  /// The image of `index`. Units  0 <= index < size
  [[nodiscard]] int64_t operator()(int64_t index) const;

  [[nodiscard]] int64_t size() const { return size_; }

 private:
  int64_t size_;
  std::array<uint32_t, 2> key_;
  int half_bits_ = 1;
};

}  // namespace everlong::data
