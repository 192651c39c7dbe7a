#include "everlong/text/bpe_merger.h"

#include <algorithm>
#include <array>
#include <bit>

namespace everlong::text {

BpeMerger::BpeMerger(std::span<const BpeMerge> merges) {
  const size_t capacity = std::bit_ceil(std::max<size_t>(16, 2 * merges.size() + 2));
  entries_.resize(capacity);
  shift_ = 64 - std::countr_zero(capacity);
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const uint64_t pair = pair_key(merges[rank].left, merges[rank].right);
    size_t slot = home_slot(pair);
    while (entries_[slot].rank != kNoRank && entries_[slot].pair != pair) slot = (slot + 1) & (capacity - 1);
    entries_[slot] = {pair, static_cast<uint32_t>(rank), merges[rank].result};
  }
}

const BpeMerger::Entry& BpeMerger::find(int32_t left, int32_t right) const {
  const uint64_t pair = pair_key(left, right);
  size_t slot = home_slot(pair);
  while (entries_[slot].pair != pair && entries_[slot].rank != kNoRank) slot = (slot + 1) & (entries_.size() - 1);
  return entries_[slot];
}

size_t BpeMerger::merge(std::span<int32_t> ids, Scratch& scratch) const {
  if (ids.size() < 2) return ids.size();
  return ids.size() <= kShortWord ? merge_short(ids) : merge_long(ids, scratch);
}

size_t BpeMerger::merge_short(std::span<int32_t> ids) const {
  std::array<const Entry*, kShortWord> pairs;  // pairs[i] = the merge of ids[i] and ids[i + 1]
  size_t size = ids.size();
  for (size_t i = 0; i + 1 < size; ++i) pairs[i] = &find(ids[i], ids[i + 1]);
  while (size > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < size; ++i) best = pairs[i]->rank < pairs[best]->rank ? i : best;
    if (pairs[best]->rank == kNoRank) break;
    ids[best] = pairs[best]->result;
    std::copy(ids.begin() + static_cast<ptrdiff_t>(best) + 2, ids.begin() + static_cast<ptrdiff_t>(size),
              ids.begin() + static_cast<ptrdiff_t>(best) + 1);
    --size;
    std::copy(pairs.begin() + best + 1, pairs.begin() + size, pairs.begin() + best);
    if (best > 0) pairs[best - 1] = &find(ids[best - 1], ids[best]);
    if (best + 1 < size) pairs[best] = &find(ids[best], ids[best + 1]);
  }
  return size;
}

size_t BpeMerger::merge_long(std::span<int32_t> ids, Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  symbols.resize(ids.size());
  heap.clear();
  const auto later = [](const Scratch::Candidate& a, const Scratch::Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  };
  const auto rank_at = [&](int32_t position) {
    const Scratch::Symbol& symbol = symbols[static_cast<size_t>(position)];
    return symbol.id < 0 || symbol.next < 0 ? kNoRank : find(symbol.id, symbols[static_cast<size_t>(symbol.next)].id).rank;
  };
  const auto size = static_cast<int32_t>(ids.size());
  for (int32_t i = 0; i < size; ++i) symbols[static_cast<size_t>(i)] = {ids[static_cast<size_t>(i)], i - 1, i + 1 < size ? i + 1 : -1};
  for (int32_t i = 0; i + 1 < size; ++i) {
    if (const uint32_t rank = rank_at(i); rank != kNoRank) heap.push_back({rank, i});
  }
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const Scratch::Candidate top = heap.back();
    heap.pop_back();
    if (rank_at(top.position) != top.rank) continue;  // one of the two has been merged since
    Scratch::Symbol& left = symbols[static_cast<size_t>(top.position)];
    Scratch::Symbol& right = symbols[static_cast<size_t>(left.next)];
    left.id = find(left.id, right.id).result;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbols[static_cast<size_t>(left.next)].previous = top.position;
    for (const int32_t position : {left.previous, top.position}) {
      const uint32_t rank = position < 0 ? kNoRank : rank_at(position);
      if (rank == kNoRank) continue;
      heap.push_back({rank, position});
      std::push_heap(heap.begin(), heap.end(), later);
    }
  }
  size_t count = 0;
  for (int32_t i = 0; i >= 0; i = symbols[static_cast<size_t>(i)].next) ids[count++] = symbols[static_cast<size_t>(i)].id;
  return count;
}

}  // namespace everlong::text
