#pragma once
// A set of byte strings numbered in order of insertion: vocabularies, and the words of a corpus.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace everlong::text {

/// XXH3, 64 bits: the same value on every machine.
[[nodiscard]] uint64_t hash_bytes(std::string_view bytes);

/// XXH3, 128 bits, as 32 hexadecimal digits.
[[nodiscard]] std::string hash_hex(std::string_view bytes);

/// Open addressing over one arena; at most 2^32 - 2 strings.
class StringTable {
 public:
  /// Number of the string, which is added if it is new. Cost  O(length), amortised
  uint32_t insert(std::string_view bytes);
  [[nodiscard]] std::optional<uint32_t> find(std::string_view bytes) const;

  /// Makes room for so many strings of so many bytes in all.
  void reserve(size_t strings, size_t bytes);

  [[nodiscard]] std::string_view at(uint32_t number) const {
    return std::string_view(arena_).substr(starts_[number], starts_[number + 1] - starts_[number]);
  }
  [[nodiscard]] size_t size() const { return starts_.size() - 1; }

 private:
  struct Slot {
    uint64_t hash = 0;
    uint32_t number_plus_one = 0;  ///< 0: free
  };

  [[nodiscard]] size_t slot_of(std::string_view bytes, uint64_t hash) const;
  void rehash(size_t num_slots);

  std::vector<Slot> slots_ = std::vector<Slot>(16);
  std::vector<size_t> starts_ = {0};
  std::string arena_;
};

/// Ids by spelling, while a vocabulary is read or asked.
class SpellingIds {
 public:
  void reserve(size_t spellings, size_t bytes) {
    table_.reserve(spellings, bytes);
    ids_.reserve(spellings);
  }

  /// The first id of a spelling stays; returns whether this is it.
  bool add(std::string_view spelling, int32_t id) {
    if (table_.insert(spelling) != ids_.size()) return false;
    ids_.push_back(id);
    return true;
  }
  [[nodiscard]] std::optional<int32_t> find(std::string_view spelling) const {
    const auto number = table_.find(spelling);
    return number ? std::optional(ids_[*number]) : std::nullopt;
  }

 private:
  StringTable table_;
  std::vector<int32_t> ids_;
};

}  // namespace everlong::text
