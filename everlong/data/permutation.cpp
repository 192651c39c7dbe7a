#include "everlong/data/permutation.h"

#include <bit>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/base/rng.h"

namespace everlong::data {
namespace {

constexpr int64_t kMaxSize = int64_t{1} << 62;
constexpr uint32_t kRounds = 8;

}  // namespace

Permutation::Permutation(int64_t size, uint64_t key) : size_(size), key_{static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)} {
  require(size >= 1 && size <= kMaxSize,
          [&] { return Complaint{.where = "permutation", .expected = "a size in [1, 2^62]", .got = fmt::format("{}", size)}; });
  const auto bits = static_cast<int>(std::bit_width(static_cast<uint64_t>(size - 1)));
  while (2 * half_bits_ < bits) ++half_bits_;
}

int64_t Permutation::operator()(int64_t index) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  auto value = static_cast<uint64_t>(index);
  do {
    uint64_t left = value >> half_bits_, right = value & mask;
    for (uint32_t round = 0; round < kRounds; ++round) {
      const uint64_t mixed = left ^ (philox4x32({static_cast<uint32_t>(right), round, 0, 0}, key_)[0] & mask);
      left = right;
      right = mixed;
    }
    value = left << half_bits_ | right;
  } while (value >= static_cast<uint64_t>(size_));
  return static_cast<int64_t>(value);
}

}  // namespace everlong::data
