#pragma once
// Large CPU tensors from memory that the process keeps: for loops that allocate the same sizes again and again.

#include <cstdint>

namespace everlong {

/// Bytes of large tensors: in use, and kept for reuse; and how many blocks were asked of the system.
struct CachedMemory {
  int64_t live_bytes = 0;
  int64_t cached_bytes = 0;
  int64_t peak_live_bytes = 0;
  int64_t mapped_blocks = 0;  ///< since the process began
};

/// Makes this process serve CPU tensors of 128 KiB and more from blocks that are kept when a tensor is freed, best fit first; from 2 MiB on they lie
/// on large pages. Fresh pages cost as much as computing what is written to them, and the C library's heap grows with every new order of sizes;
/// this does neither: blocks in use and kept together never exceed the largest amount in use by more than an eighth. Smaller tensors stay with
/// libtorch's own allocator. Call it before the first large tensor; it lasts for the process and may be called again.
void use_caching_allocator();

[[nodiscard]] CachedMemory cached_memory();

/// Gives back every block that is kept, and measures the largest amount in use afresh: between phases that have nothing in common.
void release_cached_memory();

}  // namespace everlong
