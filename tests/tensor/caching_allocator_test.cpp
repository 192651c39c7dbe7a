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
  for (int round = 0; round < 200; ++round) bytes((4 + round * 7 % 61) * kMiB).fill_(1);
  const CachedMemory memory = cached_memory();
  EXPECT_LE(memory.live_bytes + memory.cached_bytes, memory.peak_live_bytes + memory.peak_live_bytes / 8);
}

TEST(CachingAllocator, APhaseCanBeginWithNothingKept) {
  use_caching_allocator();
  const at::Tensor live = bytes(6 * kMiB);
  bytes(90 * kMiB).zero_();
  ASSERT_GE(cached_memory().cached_bytes, 90 * kMiB);
  release_cached_memory();
  EXPECT_EQ(cached_memory().cached_bytes, 0);
  EXPECT_EQ(cached_memory().peak_live_bytes, cached_memory().live_bytes);
  EXPECT_GE(cached_memory().live_bytes, 6 * kMiB);
}

TEST(CachingAllocator, AStepThatIsRepeatedAsksTheSystemForNothing) {
  use_caching_allocator();
  const auto step = [] {
    std::vector<at::Tensor> all;
    for (int64_t size = 1; size <= 16; ++size) all.push_back(bytes(size * 5 * kMiB / 8));
  };
  step();
  const int64_t before = cached_memory().mapped_blocks;
  for (int repeat = 0; repeat < 5; ++repeat) step();
  EXPECT_EQ(cached_memory().mapped_blocks, before);
}

TEST(CachingAllocator, TensorsOfEverySizeAreUsableAndSeparate) {
  use_caching_allocator();
  std::vector<at::Tensor> all;
  for (const int64_t size : {int64_t{0}, int64_t{1}, 2 * kMiB - 1, 2 * kMiB, 2 * kMiB + 1, 33 * kMiB})
    all.push_back(bytes(size).fill_(static_cast<int64_t>(all.size())));
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
