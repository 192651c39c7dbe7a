#pragma once
// The threads of libtorch's pool, for kernels and ops.

#include <cstdint>
#include <functional>

namespace everlong {

/// Runs `body(first, last)` over equal pieces that cover [begin, end) once, on at most at::get_num_threads() threads of libtorch's own
/// pool, and returns when all are done. Pieces hold at least `grain` items where there are that many; inside another parallel loop, or with
/// one thread, the caller runs it all. It is at::parallel_for for every compiler: that one is a template over OpenMP pragmas, and compiled
/// without them it runs on one thread and says nothing.
/// Errors   the first exception that a piece throws is thrown again here, after all pieces have ended
void parallel_for(int64_t begin, int64_t end, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

}  // namespace everlong
