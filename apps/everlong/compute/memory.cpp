#include "apps/everlong/compute/memory.h"

#include <malloc.h>

#include "everlong/tensor/caching_allocator.h"

namespace everlong::app {

void keep_memory() {
  use_caching_allocator();
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
}

void return_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
}

}  // namespace everlong::app
