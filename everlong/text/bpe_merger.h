#pragma once
// The one loop of byte pair encoding: merge the pair of lowest rank until none is left.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace everlong::text {

/// Two neighbouring tokens and the token they become. The rank of a merge is its place in the list.
struct BpeMerge {
  int32_t left = 0, right = 0, result = 0;

  friend bool operator==(const BpeMerge&, const BpeMerge&) = default;
};

class BpeMerger {
 public:
  /// Memory of one thread, reused between calls.
  struct Scratch {
    struct Symbol {
      int32_t id, previous, next;
    };
    struct Candidate {
      uint32_t rank;
      int32_t position;
    };
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };

  /// Of two merges of one pair the later one counts.
  explicit BpeMerger(std::span<const BpeMerge> merges);

  /// Merges `ids` in place and returns how many are left. Among equal ranks the leftmost pair goes first.
  /// Cost     O(n log n); O(n^2) moves of a few bytes below kShortWord symbols
  [[nodiscard]] size_t merge(std::span<int32_t> ids, Scratch& scratch) const;

 private:
  static constexpr size_t kShortWord = 40;
  static constexpr uint32_t kNoRank = 0xFFFFFFFF;

  struct Entry {
    uint64_t pair = ~uint64_t{0};  ///< no pair of ids >= 0 has this value
    uint32_t rank = kNoRank;
    int32_t result = 0;
  };

  static uint64_t pair_key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  [[nodiscard]] size_t home_slot(uint64_t pair) const { return static_cast<size_t>((pair ^ pair >> 29) * 0x9E3779B97F4A7C15ULL >> shift_); }
  [[nodiscard]] const Entry& find(int32_t left, int32_t right) const;
  [[nodiscard]] size_t merge_short(std::span<int32_t> ids) const;
  [[nodiscard]] size_t merge_long(std::span<int32_t> ids, Scratch& scratch) const;

  std::vector<Entry> entries_;
  int shift_ = 0;
};

}  // namespace everlong::text
