#include "everlong/text/string_table.h"

#include <bit>

#include <fmt/format.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace everlong::text {

uint64_t hash_bytes(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::string hash_hex(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

size_t StringTable::slot_of(std::string_view bytes, uint64_t hash) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = hash & mask;
  while (slots_[slot].number_plus_one != 0 && (slots_[slot].hash != hash || at(slots_[slot].number_plus_one - 1) != bytes)) slot = (slot + 1) & mask;
  return slot;
}

std::optional<uint32_t> StringTable::find(std::string_view bytes) const {
  const uint32_t found = slots_[slot_of(bytes, hash_bytes(bytes))].number_plus_one;
  if (found == 0) return std::nullopt;
  return found - 1;
}

uint32_t StringTable::insert(std::string_view bytes) {
  if (2 * (size() + 1) > slots_.size()) rehash(2 * slots_.size());
  const uint64_t hash = hash_bytes(bytes);
  Slot& slot = slots_[slot_of(bytes, hash)];
  if (slot.number_plus_one == 0) {
    arena_ += bytes;
    starts_.push_back(arena_.size());
    slot = {hash, static_cast<uint32_t>(size())};
  }
  return slot.number_plus_one - 1;
}

void StringTable::reserve(size_t strings, size_t bytes) {
  starts_.reserve(strings + 1);
  arena_.reserve(bytes);
  if (const size_t needed = std::bit_ceil(2 * strings); needed > slots_.size()) rehash(needed);
}

void StringTable::rehash(size_t num_slots) {
  std::vector<Slot> old(num_slots);
  old.swap(slots_);
  const size_t mask = slots_.size() - 1;
  for (const Slot& entry : old) {
    if (entry.number_plus_one == 0) continue;
    size_t slot = entry.hash & mask;
    while (slots_[slot].number_plus_one != 0) slot = (slot + 1) & mask;
    slots_[slot] = entry;
  }
}

}  // namespace everlong::text
