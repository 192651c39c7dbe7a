#include "everlong/tensor/caching_allocator.h"

#include <algorithm>
#include <cstring>
#include <list>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <sys/mman.h>

#include "everlong/tensor/torch.h"

namespace everlong {
namespace {

constexpr size_t kPage = size_t{2} << 20;
constexpr size_t kLeast = size_t{128} << 10;  // where the C library begins to map and unmap, too
constexpr size_t kSmallUnit = size_t{64} << 10;

size_t round_up(size_t bytes) {
  const size_t unit = bytes < kPage ? kSmallUnit : kPage;
  return (bytes + unit - 1) / unit * unit;
}

/// Maps `bytes` (of round_up), aligned to a large page if it holds one. Null where the system has no more.
void* map_block(size_t bytes) {
  if (bytes < kPage) {
    void* block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return block == MAP_FAILED ? nullptr : block;
  }
  void* raw = mmap(nullptr, bytes + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  const auto begin = reinterpret_cast<uintptr_t>(raw), aligned = (begin + kPage - 1) / kPage * kPage;
  if (aligned > begin) munmap(raw, aligned - begin);
  if (const size_t rest = begin + kPage - aligned; rest > 0) munmap(reinterpret_cast<void*>(aligned + bytes), rest);
  void* block = reinterpret_cast<void*>(aligned);
#ifdef MADV_HUGEPAGE
  madvise(block, bytes, MADV_HUGEPAGE);
#endif
  return block;
}

/// The blocks themselves. Every function is safe to call from any thread.
class Blocks {
 public:
  void* take(size_t wanted) {
    const size_t bytes = round_up(wanted);
    const std::lock_guard lock(mutex_);
    const auto fit = by_size_.lower_bound(bytes);
    void* block = nullptr;
    size_t size = bytes;
    if (fit != by_size_.end() && fit->first <= bytes + bytes / 4) {
      block = fit->second->data, size = fit->first;
      forget(fit);
    } else {
      block = map_block(bytes);
      while (block == nullptr && !oldest_.empty()) {  // no memory left: give back what is kept
        release_oldest();
        block = map_block(bytes);
      }
      if (block == nullptr) return nullptr;
      ++mapped_blocks_;
    }
    live_.emplace(block, size);
    live_bytes_ += size;
    peak_live_bytes_ = std::max(peak_live_bytes_, live_bytes_);
    return block;
  }

  /// False if the block is none of these.
  bool give(void* block) {
    const std::lock_guard lock(mutex_);
    const auto found = live_.find(block);
    if (found == live_.end()) return false;
    const size_t size = found->second;
    live_.erase(found);
    live_bytes_ -= size;
    oldest_.push_back({block, size});
    by_size_.emplace(size, std::prev(oldest_.end()));
    cached_bytes_ += size;
    while (live_bytes_ + cached_bytes_ > peak_live_bytes_ + peak_live_bytes_ / 8 && oldest_.size() > 1) release_oldest();
    return true;
  }

  void release_all() {
    const std::lock_guard lock(mutex_);
    while (!oldest_.empty()) release_oldest();
    peak_live_bytes_ = live_bytes_;
  }

  CachedMemory memory() {
    const std::lock_guard lock(mutex_);
    return {static_cast<int64_t>(live_bytes_), static_cast<int64_t>(cached_bytes_), static_cast<int64_t>(peak_live_bytes_), mapped_blocks_};
  }

 private:
  struct Kept {
    void* data;
    size_t size;
  };
  using BySize = std::multimap<size_t, std::list<Kept>::iterator>;

  void forget(BySize::iterator entry) {
    cached_bytes_ -= entry->first;
    oldest_.erase(entry->second);
    by_size_.erase(entry);
  }

  void release_oldest() {
    const auto [block, size] = oldest_.front();
    const auto range = by_size_.equal_range(size);
    const auto entry = std::find_if(range.first, range.second, [wanted = block](const auto& kept) { return kept.second->data == wanted; });
    forget(entry);
    munmap(block, size);
  }

  std::mutex mutex_;
  std::unordered_map<void*, size_t> live_;
  std::list<Kept> oldest_;
  BySize by_size_;
  size_t live_bytes_ = 0, cached_bytes_ = 0, peak_live_bytes_ = 0;
  int64_t mapped_blocks_ = 0;
};

Blocks& blocks() {
  static Blocks* const all = new Blocks;  // never destroyed: tensors of static lifetime are freed late
  return *all;
}

void free_any(void* data) {
  if (data != nullptr && !blocks().give(data)) c10::free_cpu(data);
}

class CachingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* data = bytes >= kLeast ? blocks().take(bytes) : c10::alloc_cpu(bytes);
    if (data == nullptr && bytes > 0) throw std::bad_alloc();
    return {data, data, &free_any, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_any; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { std::memcpy(to, from, bytes); }
};

}  // namespace

void use_caching_allocator() {
  static CachingAllocator allocator;
  c10::SetCPUAllocator(&allocator, /*priority=*/1);
}

CachedMemory cached_memory() { return blocks().memory(); }

void release_cached_memory() { blocks().release_all(); }

}  // namespace everlong
