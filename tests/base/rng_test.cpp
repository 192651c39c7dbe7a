#include "everlong/base/rng.h"

#include <gtest/gtest.h>

namespace everlong {
namespace {

TEST(Philox, MatchesTheKnownAnswersOfRandom123) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}), (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(CounterRng, ContinuesFromASavedPosition) {
  CounterRng whole(7, 1), first(7, 1);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(whole.next_u64(), first.next_u64());
  CounterRng rest(first.position());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(whole.next_u64(), rest.next_u64());
}

TEST(CounterRng, StreamsAndSeedsDiffer) {
  EXPECT_NE(CounterRng(7, 1).next_u64(), CounterRng(7, 2).next_u64());
  EXPECT_NE(CounterRng(7, 1).next_u64(), CounterRng(8, 1).next_u64());
}

TEST(CounterRng, BoundedNumbersAreInRangeAndEven) {
  CounterRng rng(1, 0);
  std::array<int, 5> counts{};
  for (int i = 0; i < 50000; ++i) ++counts.at(rng.next_below(5));
  for (const int count : counts) EXPECT_NEAR(count, 10000, 500);  // 5.6 standard deviations
}

}  // namespace
}  // namespace everlong
