#include "everlong/tensor/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>

#include <c10/util/ParallelGuard.h>

#include "everlong/tensor/torch.h"

// The entry points that compilers emit calls to for `omp parallel`; libgomp defines them, and so do the OpenMP runtimes of LLVM and Intel.
extern "C" {
void GOMP_parallel(void (*body)(void*), void* data, unsigned num_threads, unsigned flags);
int omp_get_thread_num();
int omp_get_num_threads();
}

namespace everlong {
namespace {

struct Loop {
  int64_t begin, end, grain;
  const std::function<void(int64_t, int64_t)>& body;
  std::atomic_flag has_failed = ATOMIC_FLAG_INIT;
  std::exception_ptr failure = nullptr;

  void run_piece(int64_t thread, int64_t num_threads) {
    const int64_t num_items = end - begin;
    const int64_t num_pieces = std::min(num_threads, (num_items + grain - 1) / grain);
    const int64_t piece_size = (num_items + num_pieces - 1) / num_pieces;
    const int64_t first = begin + thread * piece_size;
    if (thread >= num_pieces || first >= end) return;
    try {
      const at::internal::ThreadIdGuard id(static_cast<int>(thread));
      const c10::ParallelGuard inside(true);
      body(first, std::min(end, first + piece_size));
    } catch (...) {
      if (!has_failed.test_and_set()) failure = std::current_exception();
    }
  }
};

void run_piece(void* loop) { static_cast<Loop*>(loop)->run_piece(omp_get_thread_num(), omp_get_num_threads()); }

}  // namespace

void parallel_for(int64_t begin, int64_t end, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (begin >= end) return;
  at::internal::lazy_init_num_threads();
  Loop loop{.begin = begin, .end = end, .grain = std::max<int64_t>(grain, 1), .body = body};
  if (end - begin <= loop.grain || at::in_parallel_region() || at::get_num_threads() == 1) {
    loop.run_piece(0, 1);
  } else {
    GOMP_parallel(run_piece, &loop, 0, 0);  // 0 threads: as many as at::set_num_threads said
  }
  if (loop.failure) std::rethrow_exception(loop.failure);
}

}  // namespace everlong
