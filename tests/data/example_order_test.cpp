#include "everlong/data/example_order.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/base/rng.h"
#include "tests/support/message.h"

namespace everlong::data {
namespace {

using testing::message_of;

std::vector<int64_t> random_lens(int64_t count) {
  CounterRng rng(1, 2);
  std::vector<int64_t> lens;
  for (int64_t i = 0; i < count; ++i) lens.push_back(1 + static_cast<int64_t>(rng.next_below(500)));
  return lens;
}

/// Padding of one epoch relative to its tokens.
double padding(const std::vector<int64_t>& lens, const ExampleOrderOptions& options) {
  ExampleOrder order(lens, options);
  double padded = 0, tokens = 0;
  for (int64_t i = 0; i < order.batches_per_epoch(); ++i) {
    int64_t longest = 0;
    const auto batch = order.next();
    for (const int64_t example : batch) {
      longest = std::max(longest, lens[static_cast<size_t>(example)]);
      tokens += static_cast<double>(lens[static_cast<size_t>(example)]);
    }
    padded += static_cast<double>(longest) * static_cast<double>(batch.size());
  }
  return padded / tokens - 1;
}

TEST(ExampleOrder, AnEpochHasEveryExampleOnce) {
  for (const bool shuffle : {true, false}) {
    for (const bool drop_last : {true, false}) {
      ExampleOrder order(random_lens(103), {.batch_size = 10, .seed = 3, .shuffle = shuffle, .bucket_batches = 3, .drop_last = drop_last});
      EXPECT_EQ(order.batches_per_epoch(), drop_last ? 10 : 11);
      for (int64_t epoch = 0; epoch < 3; ++epoch) {
        std::multiset<int64_t> seen;
        for (int64_t i = 0; i < order.batches_per_epoch(); ++i) {
          EXPECT_EQ(order.position().epoch, epoch);
          const auto batch = order.next();
          if (drop_last) {
            EXPECT_EQ(batch.size(), 10u);
          }
          seen.insert(batch.begin(), batch.end());
        }
        EXPECT_EQ(seen.size(), drop_last ? 100u : 103u);
        EXPECT_EQ(std::set<int64_t>(seen.begin(), seen.end()).size(), seen.size());
      }
    }
  }
}

TEST(ExampleOrder, NeighboursInLengthShareABatch) {
  const auto lens = random_lens(2000);
  EXPECT_GT(padding(lens, {.batch_size = 16, .bucket_batches = 1}), 0.7);
  EXPECT_LT(padding(lens, {.batch_size = 16, .bucket_batches = 50}), 0.05);
}

TEST(ExampleOrder, WithoutShufflingTheOrderIsThatOfTheFile) {
  ExampleOrder order(random_lens(5), {.batch_size = 2, .shuffle = false});
  for (int epoch = 0; epoch < 2; ++epoch) {
    EXPECT_EQ(order.next(), (std::vector<int64_t>{0, 1}));
    EXPECT_EQ(order.next(), (std::vector<int64_t>{2, 3}));
    EXPECT_EQ(order.next(), (std::vector<int64_t>{4}));
  }
}

TEST(ExampleOrder, SeedAndEpochDecideAboutTheOrder) {
  const auto lens = random_lens(200);
  const auto epochs = [&](uint64_t seed) {
    ExampleOrder order(lens, {.batch_size = 8, .seed = seed});
    std::vector<std::vector<int64_t>> batches;
    for (int64_t i = 0; i < 2 * order.batches_per_epoch(); ++i) batches.push_back(order.next());
    return batches;
  };
  const auto one = epochs(1);
  EXPECT_EQ(one, epochs(1));
  EXPECT_NE(one, epochs(2));
  EXPECT_NE(std::vector(one.begin(), one.begin() + 25), std::vector(one.begin() + 25, one.end()));
}

TEST(ExampleOrder, WhatIsDroppedIsNotAlwaysTheLongest) {
  const auto lens = random_lens(31);
  ExampleOrder order(lens, {.batch_size = 30, .drop_last = true});
  std::set<int64_t> dropped;
  for (int epoch = 0; epoch < 60; ++epoch) {
    auto batch = order.next();
    std::sort(batch.begin(), batch.end());
    int64_t missing = 0;
    while (missing < 30 && batch[static_cast<size_t>(missing)] == missing) ++missing;
    dropped.insert(missing);
  }
  EXPECT_GT(dropped.size(), 15u);
}

TEST(ExampleOrder, ResumeAtAnyPositionEqualsTheUninterruptedRun) {
  const auto lens = random_lens(57);
  const ExampleOrderOptions options{.batch_size = 4, .seed = 9, .bucket_batches = 3};
  ExampleOrder whole(lens, options), moved(lens, options);
  std::vector<ExamplePosition> positions;
  std::vector<std::vector<int64_t>> batches;
  for (int i = 0; i < 50; ++i) {
    positions.push_back(whole.position());
    batches.push_back(whole.next());
  }
  CounterRng rng(4, 0);
  for (int trial = 0; trial < 100; ++trial) {
    const size_t start = rng.next_below(48);
    moved.seek(example_position_from_json(to_json(positions[start]), "p"));
    EXPECT_EQ(moved.next(), batches[start]);
    EXPECT_EQ(moved.next(), batches[start + 1]);
    EXPECT_EQ(moved.position(), positions[start + 2 < 50 ? start + 2 : 49]);
  }
}

TEST(ExampleOrder, WhatCannotBeMeantIsRefused) {
  EXPECT_EQ(message_of<InvalidArgument>([] { ExampleOrder({1}, {.batch_size = 0}); }),
            "[data] expected batch_size and bucket_batches >= 1, got 0 and 50.");
  EXPECT_EQ(message_of<InvalidArgument>([] { ExampleOrder({}, {}); }), "[data] expected at least one example, got 0.");
  EXPECT_EQ(message_of<InvalidArgument>([] {
              ExampleOrder({1, 2}, {.batch_size = 3, .drop_last = true});
            }),
            "[data] expected at least one batch of 3 examples, got 2.");
  ExampleOrder order(random_lens(10), {.batch_size = 4, .seed = 2});
  const auto message = [&](auto change) {
    ExamplePosition position = order.position();
    change(position);
    return message_of<StateError>([&] { order.seek(position); });
  };
  const std::string hint = ". Hint: the position belongs to a run on other examples or with another configuration.";
  EXPECT_EQ(message([](auto& p) { p.seed = 3; }), "[data] expected a position with seed 2, got 3" + hint);
  EXPECT_EQ(message([](auto& p) { p.batch_size = 3; }), "[data] expected a position with batch_size 4, got 3" + hint);
  EXPECT_EQ(message([](auto& p) { p.num_examples = 3; }), "[data] expected a position with num_examples 10, got 3" + hint);
  EXPECT_EQ(message([](auto& p) { p.batch = 3; }), "[data] expected a position with epoch >= 0 and batch in [0, 3), got epoch 0, batch 3.");
  EXPECT_EQ(message([](auto& p) { p.epoch = -1; }), "[data] expected a position with epoch >= 0 and batch in [0, 3), got epoch -1, batch 0.");
  io::Json json = to_json(order.position());
  json["batch"] = -1;
  EXPECT_EQ(message_of<FormatError>([&] { (void)example_position_from_json(json, "trainer.json"); }),
            "[trainer.json, batch] expected an integer >= 0, got -1.");
}

}  // namespace
}  // namespace everlong::data
