#include "everlong/kernels/cpu/parallel.h"

#include <atomic>
#include <chrono>
#include <latch>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace everlong::kernels {
namespace {

/// Two threads with a half each.
void two_threads(int64_t begin, int64_t end, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (end - begin <= grain) return body(begin, end);
  const int64_t middle = begin + (end - begin + 1) / 2;
  std::thread other([&] { body(middle, end); });
  body(begin, middle);
  other.join();
}

TEST(ShareOut, CoversEveryItemOnce) {
  for (const int64_t count : {1, 2, 3, 17, 255, 256, 257, 1000, 50265}) {
    for (const int64_t grain : {1, 16, 300, 100000}) {
      std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
      const auto body = [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) ++seen[static_cast<size_t>(i)];
      };
      share_out(two_threads, count, grain, body);
      share_out(serial_for, count, grain, body);
      for (const auto& times : seen) ASSERT_EQ(times, 2) << count << ", grain " << grain;
    }
  }
  share_out(two_threads, 0, 1, [](int64_t, int64_t) { FAIL(); });
}

TEST(ShareOut, SmallLoopsAskForNoThreads) {
  const ParallelFor none = [](int64_t, int64_t, int64_t, const auto&) { FAIL(); };
  for (const int64_t count : {1, 16, 4096}) {
    int64_t seen = 0;
    share_out(none, count, count, [&](int64_t first, int64_t last) { seen += last - first; });
    EXPECT_EQ(seen, count);
  }
}

TEST(ShareOut, AThreadThatIsDoneTakesWhatIsLeftFromTheBack) {
  constexpr int64_t kCount = 64;
  std::latch rest(kCount - 1);
  std::vector<int64_t> mine;
  share_out(two_threads, kCount, 1, [&](int64_t first, int64_t last) {
    ASSERT_EQ(last, first + 1);
    if (first == kCount / 2) {  // the second thread is held up at its first part until all others are done
      for (int waited = 0; !rest.try_wait() && waited < 5000; ++waited) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      return;
    }
    mine.push_back(first);
    rest.count_down();
  });
  ASSERT_EQ(mine.size(), size_t{kCount - 1});
  for (int64_t i = 0; i < kCount - 1; ++i) EXPECT_EQ(mine[static_cast<size_t>(i)], i < kCount / 2 ? i : kCount - 1 - (i - kCount / 2));
}

}  // namespace
}  // namespace everlong::kernels
