#pragma once
// Large CPU tensors from memory that the process keeps: for loops that allocate the same sizes again and again.

#include <cstdint>

namespace everlong {

/// Bytes of large tensors: in use, and kept for reuse.
struct CachedMemory {
  int64_t live_bytes = 0;
  int64_t cached_bytes = 0;
  int64_t peak_live_bytes = 0;
};

/// Makes this process serve CPU tensors of 2 MiB and more from blocks on large pages that are kept when a tensor is freed, best fit first.
/// Fresh pages cost as much as computing what is written to them, and the C library's heap grows with every new order of sizes; this does
/// neither: what is kept and not in use never exceeds half the largest amount in use. Smaller tensors stay with libtorch's own allocator.
/// Call it before the first large tensor; it lasts for the process and may be called again.
void use_caching_allocator();

[[nodiscard]] CachedMemory cached_memory();

}  // namespace everlong
