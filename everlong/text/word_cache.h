#pragma once
// The encodings of words seen lately, in fixed memory.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace everlong::text {

/// Direct-mapped: a word that falls on another one's slot replaces it. Long words are not kept.
/// Cost     4 MiB
class WordCache {
 public:
  static constexpr size_t kMaxWordBytes = 26;
  static constexpr size_t kMaxIds = 9;

  struct Slot {
    int32_t ids[kMaxIds];
    uint8_t word_bytes = 0;  ///< 0: free
    uint8_t id_count = 0;
    char word[kMaxWordBytes];
  };
  static_assert(sizeof(Slot) == 64, "one cache line");

  WordCache() : slots_(kSlots) {}

  /// The slot where `word` is or would be kept; null if it is too long.
  [[nodiscard]] Slot* slot_of(std::string_view word) {
    return word.empty() || word.size() > kMaxWordBytes ? nullptr : &slots_[hash(word) & (kSlots - 1)];
  }

  [[nodiscard]] static bool holds(const Slot& slot, std::string_view word) {
    return slot.word_bytes == word.size() && std::memcmp(slot.word, word.data(), word.size()) == 0;
  }

  static void keep(Slot& slot, std::string_view word, std::span<const int32_t> ids) {
    if (ids.size() > kMaxIds) return;
    slot.word_bytes = static_cast<uint8_t>(word.size());
    slot.id_count = static_cast<uint8_t>(ids.size());
    std::memcpy(slot.word, word.data(), word.size());
    std::copy(ids.begin(), ids.end(), slot.ids);
  }

 private:
  static constexpr size_t kSlots = size_t{1} << 16;

  static uint64_t hash(std::string_view word) {
    uint64_t value = word.size() * 0x9E3779B97F4A7C15ULL;
    size_t done = 0;
    for (; done + 8 <= word.size(); done += 8) value = mix(value, load(word.data() + done, 8));
    return mix(value, load(word.data() + done, word.size() - done));
  }
  static uint64_t load(const char* bytes, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    return value;
  }
  static uint64_t mix(uint64_t state, uint64_t value) {
    state = (state ^ value) * 0xD6E8FEB86659FD93ULL;
    return state ^ state >> 32;
  }

  std::vector<Slot> slots_;
};

}  // namespace everlong::text
