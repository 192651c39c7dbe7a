#pragma once
// How kernels get their threads: the caller hands them in, so that one pool serves the process.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>

namespace everlong::kernels {

/// Runs `body(first, last)` over pieces that cover [begin, end) once, on any threads and in any order, and returns when all are done.
/// Pieces hold at least `grain` items where there are that many.
using ParallelFor = std::function<void(int64_t begin, int64_t end, int64_t grain, const std::function<void(int64_t, int64_t)>& body)>;

/// The ParallelFor of one thread: the caller's.
inline void serial_for(int64_t begin, int64_t end, int64_t /*grain*/, const std::function<void(int64_t, int64_t)>& body) {
  if (begin < end) body(begin, end);
}

/// Runs `body(first, last)` over parts that cover [0, count) once. Each thread goes through a stretch of its own from the front, as memory is read
/// fastest, and when it is done takes what others have left, from the back: memory does not serve them evenly, and the slowest would hold up all.
/// Threads get at least `grain` items each where there are that many.
template <class Body>
void share_out(const ParallelFor& parallel_for, int64_t count, int64_t grain, const Body& body) {
  constexpr int64_t kParts = 256;
  if (count <= grain) return serial_for(0, count, grain, body);
  const int64_t parts = std::min(count, kParts);
  std::array<std::atomic<bool>, kParts> taken{};
  const auto take = [&](int64_t part) {
    if (!taken[static_cast<size_t>(part)].exchange(true, std::memory_order_relaxed)) body(count * part / parts, count * (part + 1) / parts);
  };
  parallel_for(0, parts, std::max<int64_t>(1, grain * parts / count), [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) take(part);
    for (int64_t part = begin + parts - 1; part >= end; --part) take(part % parts);
  });
}

}  // namespace everlong::kernels
