#include "everlong/tensor/parallel.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "everlong/tensor/torch.h"

namespace everlong {
namespace {

class Parallel : public testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(2); }
  void TearDown() override { at::set_num_threads(before_); }

 private:
  int before_ = at::get_num_threads();
};

std::set<std::thread::id> threads_of(int64_t items, int64_t grain) {
  std::mutex mutex;
  std::set<std::thread::id> threads;
  parallel_for(0, items, grain, [&](int64_t, int64_t) {
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  return threads;
}

TEST_F(Parallel, TwoThreadsWorkWhereTwoAreAllowed) {
  EXPECT_EQ(threads_of(2, 1).size(), 2u);
  EXPECT_EQ(threads_of(1000, 10).size(), 2u);
}

TEST_F(Parallel, TheCallerWorksAloneBelowTheGrainOnOneThreadOrInsideALoop) {
  const std::set<std::thread::id> caller = {std::this_thread::get_id()};
  EXPECT_EQ(threads_of(10, 10), caller);
  std::atomic<int> inner_threads = 0;
  parallel_for(0, 2, 1, [&](int64_t, int64_t) { inner_threads += static_cast<int>(threads_of(100, 1).size()); });
  EXPECT_EQ(inner_threads, 2);
  at::set_num_threads(1);
  EXPECT_EQ(threads_of(1000, 1), caller);
}

TEST_F(Parallel, EveryItemIsVisitedOnce) {
  for (const int64_t items : {0, 1, 2, 3, 7, 100, 101}) {
    for (const int64_t grain : {0, 1, 3, 50, 1000}) {
      std::vector<std::atomic<int>> visits(static_cast<size_t>(items));
      parallel_for(5, 5 + items, grain, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) ++visits[static_cast<size_t>(i - 5)];
      });
      EXPECT_TRUE(std::all_of(visits.begin(), visits.end(), [](const auto& count) { return count == 1; })) << items << " by " << grain;
    }
  }
}

TEST_F(Parallel, AnExceptionOfAnyPieceReachesTheCaller) {
  for (const int64_t bad : {0, 99}) {
    EXPECT_THROW(parallel_for(0, 100, 1,
                              [&](int64_t first, int64_t last) {
                                if (first <= bad && bad < last) throw std::runtime_error("piece");
                              }),
                 std::runtime_error);
  }
}

}  // namespace
}  // namespace everlong
