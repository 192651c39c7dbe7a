#pragma once
// How the process takes memory from the system and gives it back. Set before the first tensor, once for a verb.

namespace everlong::app {

/// For loops that allocate the same tensors again and again (training, benchmarks): freed memory stays in the process, large tensors come from
/// the library's caching allocator.
void keep_memory();

/// For long runs in constant memory (evaluation, generation): every large tensor goes back to the system when it is freed. From the heap such
/// tensors leave gaps that creep over a million tokens.
void return_memory();

}  // namespace everlong::app
