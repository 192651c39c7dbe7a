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
  void grow();

  std::vector<Slot> slots_ = std::vector<Slot>(16);
  std::vector<size_t> starts_ = {0};
  std::string arena_;
};

/// Ids by spelling, while a vocabulary is read or asked.
class SpellingIds {
 public:
  /// The first id of a spelling stays.
  void add(std::string_view spelling, int32_t id) {
    if (table_.insert(spelling) == ids_.size()) ids_.push_back(id);
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
