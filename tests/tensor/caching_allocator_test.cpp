#include "everlong/tensor/caching_allocator.h"

#include <gtest/gtest.h>

#include "everlong/tensor/torch.h"
#include "tests/support/torch/tolerance.h"

namespace everlong {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

at::Tensor bytes(int64_t size) { return at::empty({size}, at::kByte); }

TEST(CachingAllocator, AFreedBlockServesTheNextTensorOfItsSize) {
  use_caching_allocator();
  const CachedMemory before = cached_memory();
  void* first = nullptr;
  {
    const at::Tensor block = bytes(40 * kMiB);
    first = block.data_ptr();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % (2 * kMiB), 0u);
    EXPECT_EQ(cached_memory().live_bytes, before.live_bytes + 40 * kMiB);
  }
  EXPECT_EQ(cached_memory().live_bytes, before.live_bytes);
  EXPECT_EQ(bytes(39 * kMiB).data_ptr(), first) << "nearly as large: the same block";
  EXPECT_NE(bytes(20 * kMiB).data_ptr(), first) << "half as large: a block of its own";
}

TEST(CachingAllocator, WhatIsKeptIsBoundedByWhatWasInUse) {
  use_caching_allocator();
  for (int64_t size = 4; size <= 64; size += 3) bytes(size * kMiB).zero_();
  const CachedMemory after = cached_memory();
  EXPECT_LE(after.cached_bytes, after.peak_live_bytes);
  for (int round = 0; round < 200; ++round) bytes((4 + round * 7 % 61) * kMiB).fill_(1);
  EXPECT_LE(cached_memory().cached_bytes, cached_memory().peak_live_bytes);
}

TEST(CachingAllocator, TensorsOfEverySizeAreUsableAndSeparate) {
  use_caching_allocator();
  std::vector<at::Tensor> all;
  for (const int64_t size : {int64_t{0}, int64_t{1}, 2 * kMiB - 1, 2 * kMiB, 2 * kMiB + 1, 33 * kMiB}) all.push_back(bytes(size).fill_(static_cast<int64_t>(all.size())));
  for (size_t i = 0; i < all.size(); ++i) EXPECT_TRUE(all[i].eq(static_cast<int64_t>(i)).all().item<bool>());
  at::Tensor grown = at::arange(kMiB);
  grown.resize_({3 * kMiB});
  EXPECT_EQ(grown[kMiB - 1].item<int64_t>(), kMiB - 1);
  EXPECT_TRUE(testing::all_close(at::ones({1024, 1024}).mm(at::ones({1024, 1024})), at::full({1024, 1024}, 1024.0f), {.relative = 1e-6}));
}

TEST(CachingAllocator, TensorsThatOutliveTheSwitchAreFreedByWhoMadeThem) {
  const at::Tensor early = at::ones({3 * kMiB}, at::kByte);  // may have been made before any switch
  use_caching_allocator();
  use_caching_allocator();
  EXPECT_EQ(early.sum().item<int64_t>(), 3 * kMiB);
}

}  // namespace
}  // namespace everlong
