#pragma once
// How kernels get their threads: the caller hands them in, so that one pool serves the process.

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

}  // namespace everlong::kernels
