#include "everlong/data/batches.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/base/rng.h"
#include "everlong/tensor/torch.h"
#include "tests/data/support.h"

namespace everlong::data {
namespace {

using testing::message_of;

bool equal(const Batch& a, const Batch& b) {
  return at::equal(a.tokens, b.tokens) && at::equal(a.targets, b.targets) && at::equal(a.restart, b.restart) && a.num_targets == b.num_targets &&
         a.document_ids.has_value() == b.document_ids.has_value() && (!a.document_ids || at::equal(*a.document_ids, *b.document_ids));
}

/// Runs a check on both kinds of source.
template <class Source>
class BatchSources : public ::testing::Test {};
using Kinds = ::testing::Types<DocumentLanes, PackedWindows>;
TYPED_TEST_SUITE(BatchSources, Kinds);

const std::vector<int64_t> kLens = {5, 0, 17, 1, 40, 8, 8, 3, 0, 29, 64, 2};  // 177 tokens

/// Checks targets, restarts and document ids of one batch against where each token stands in its document.
void expect_consistent(const Batch& batch, const Documents& documents, bool restarts_everywhere) {
  std::vector<int64_t> place, len;  // of each token: its place in the document, the document's length
  for (const auto& document : documents) {
    for (size_t i = 0; i < document.size(); ++i) {
      place.push_back(static_cast<int64_t>(i));
      len.push_back(static_cast<int64_t>(document.size()));
    }
  }
  const int64_t rows = batch.tokens.size(0), seq_len = batch.tokens.size(1);
  const auto tokens = values_of(batch.tokens), targets = values_of(batch.targets), restart = values_of(batch.restart);
  const auto ids = batch.document_ids ? values_of(*batch.document_ids) : std::vector<int64_t>(tokens.size(), 0);
  int64_t num_targets = 0;
  bool any_inside = false;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = 0; i < seq_len; ++i) {
      const auto at = static_cast<size_t>(row * seq_len + i), token = static_cast<size_t>(tokens[at]);
      const bool is_last = place[token] + 1 == len[token];
      EXPECT_EQ(targets[at], is_last ? kNoTarget : tokens[at] + 1);
      num_targets += is_last ? 0 : 1;
      if (i == 0) {
        if (restarts_everywhere || place[token] == 0) {
          EXPECT_TRUE(restart[static_cast<size_t>(row)]);
        }
        continue;
      }
      EXPECT_EQ(ids[at] != ids[at - 1], place[token] == 0);
      any_inside |= place[token] == 0;
      if (place[token] != 0) {
        EXPECT_EQ(tokens[at], tokens[at - 1] + 1);
      }
    }
  }
  EXPECT_EQ(batch.num_targets, num_targets);
  EXPECT_EQ(batch.document_ids.has_value(), any_inside);
}

TYPED_TEST(BatchSources, AnEpochHasEveryTokenOnceButForTheRemainder) {
  const auto documents = counted_documents(kLens);
  TypeParam source(make_corpus(documents), {.batch_size = 3, .seq_len = 7, .seed = 5});
  ASSERT_EQ(source.batches_per_epoch(), 8);  // 177 / 21
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::multiset<int64_t> seen;
    for (int64_t i = 0; i < source.batches_per_epoch(); ++i) {
      EXPECT_DOUBLE_EQ(source.epoch(), static_cast<double>(epoch) + static_cast<double>(i) / 8);
      const Batch batch = source.next();
      expect_consistent(batch, documents, std::is_same_v<TypeParam, PackedWindows>);
      for (const int64_t token : values_of(batch.tokens)) seen.insert(token);
    }
    EXPECT_EQ(seen.size(), 168u);
    EXPECT_EQ(std::set<int64_t>(seen.begin(), seen.end()).size(), 168u);
  }
}

TYPED_TEST(BatchSources, ResumeAtAnyPositionEqualsTheUninterruptedRun) {
  const auto corpus = make_corpus(counted_documents(kLens));
  const BatchOptions options{.batch_size = 2, .seq_len = 5, .seed = 11};
  TypeParam whole(corpus, options);
  std::vector<Batch> batches;
  std::vector<BatchPosition> positions;
  for (int i = 0; i < 70; ++i) {  // four epochs of 17
    positions.push_back(whole.position());
    batches.push_back(whole.next());
  }
  CounterRng rng(3, 0);
  TypeParam moved(corpus, options);
  for (int trial = 0; trial < 200; ++trial) {
    const size_t start = rng.next_below(batches.size());
    moved.seek(batch_position_from_json(to_json(positions[start]), "position"));
    for (size_t i = start; i < std::min(start + 4, batches.size()); ++i) {
      EXPECT_EQ(moved.position(), positions[i]);
      EXPECT_TRUE(equal(moved.next(), batches[i])) << "batch " << i << " after seek to " << start;
    }
  }
}

TYPED_TEST(BatchSources, TheSeedDecidesAboutTheOrder) {
  const auto corpus = make_corpus(counted_documents(kLens));
  TypeParam one(corpus, {.batch_size = 2, .seq_len = 8, .seed = 1}), same(corpus, {.batch_size = 2, .seq_len = 8, .seed = 1});
  TypeParam other(corpus, {.batch_size = 2, .seq_len = 8, .seed = 2});
  int different = 0;
  Batch first_epoch = one.next(), unused = same.next();
  EXPECT_TRUE(equal(first_epoch, unused));
  different += !equal(first_epoch, other.next());
  for (int64_t i = 1; i < one.batches_per_epoch(); ++i) {
    const Batch batch = one.next();
    EXPECT_TRUE(equal(batch, same.next()));
    different += !equal(batch, other.next());
  }
  EXPECT_EQ(different, one.batches_per_epoch());
  EXPECT_FALSE(equal(one.next(), first_epoch)) << "the second epoch repeats the first";
}

TYPED_TEST(BatchSources, APositionOfAnotherSourceIsRefused) {
  const auto corpus = make_corpus(counted_documents(kLens));
  TypeParam source(corpus, {.batch_size = 3, .seq_len = 7, .seed = 5});
  const auto message = [&](auto change) {
    BatchPosition position = source.position();
    change(position);
    return message_of<StateError>([&] { source.seek(position); });
  };
  const std::string hint = ". Hint: the position belongs to a run on other data or with another configuration.";
  EXPECT_EQ(message([](auto& p) { p.seed = 6; }), "[data] expected a position with seed 5, got 6" + hint);
  EXPECT_EQ(message([](auto& p) { p.batch_size = 4; }), "[data] expected a position with batch_size 3, got 4" + hint);
  EXPECT_EQ(message([](auto& p) { p.seq_len = 8; }), "[data] expected a position with seq_len 7, got 8" + hint);
  EXPECT_EQ(message([](auto& p) { p.num_tokens = 178; }), "[data] expected a position with num_tokens 177, got 178" + hint);
  EXPECT_EQ(message([](auto& p) { p.batch = 8; }), "[data] expected a position with epoch >= 0 and batch in [0, 8), got epoch 0, batch 8.");
  EXPECT_EQ(message([](auto& p) { p.batch = -1; }), "[data] expected a position with epoch >= 0 and batch in [0, 8), got epoch 0, batch -1.");
  EXPECT_EQ(message([](auto& p) { p.epoch = -1; }), "[data] expected a position with epoch >= 0 and batch in [0, 8), got epoch -1, batch 0.");
}

TYPED_TEST(BatchSources, ACorpusSmallerThanABatchIsRefused) {
  const auto corpus = make_corpus(counted_documents({9, 2}));
  EXPECT_EQ(message_of<InvalidArgument>([&] { TypeParam(corpus, {.batch_size = 3, .seq_len = 4}); }),
            "[data] expected a corpus of at least one batch, 3 x 4 tokens, got 11 tokens. Hint: use a smaller batch_size or seq_len, or more text.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { TypeParam(corpus, {.batch_size = int64_t{1} << 40, .seq_len = int64_t{1} << 40}); }),
            "[data] expected a corpus of at least one batch, 1099511627776 x 1099511627776 tokens, got 11 tokens. Hint: use a smaller batch_size or "
            "seq_len, or more text.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { TypeParam(corpus, {.batch_size = 0, .seq_len = 4}); }),
            "[data] expected batch_size and seq_len >= 1, got 0 and 4.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { TypeParam(corpus, {.stream = {.eos_id = -1}}); }), "[data] expected eos_id >= 0, got -1.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { TypeParam(nullptr, {}); }), "[data] expected a corpus, got none.");
  EXPECT_EQ(message_of<InvalidArgument>([&] {
              TypeParam(make_corpus({{}, {}}), {});
            }),
            "[data] expected a corpus of at least one batch, 1 x 1 tokens, got 0 tokens. Hint: use a smaller batch_size or seq_len, or more text.");
}

TEST(DocumentLanes, ALaneReadsItsPartInOrder) {
  const auto documents = counted_documents(kLens);
  DocumentLanes source(make_corpus(documents), {.batch_size = 3, .seq_len = 7, .seed = 5});
  std::vector<int64_t> carried_target(3, kNoTarget);
  for (int64_t i = 0; i < source.batches_per_epoch(); ++i) {
    const Batch batch = source.next();
    const auto tokens = values_of(batch.tokens), targets = values_of(batch.targets), restart = values_of(batch.restart);
    for (size_t row = 0; row < 3; ++row) {
      const bool continues = carried_target[row] != kNoTarget;
      EXPECT_EQ(restart[row] != 0, i == 0 || !continues);  // a document that goes on does so exactly where the row left it
      if (continues) {
        EXPECT_EQ(tokens[row * 7], carried_target[row]);
      }
      carried_target[row] = targets[row * 7 + 6];
    }
  }
  EXPECT_TRUE(source.next().restart.all().item<bool>()) << "an epoch begins with fresh state";
}

TEST(PackedWindows, EveryRowOfEveryBatchRestarts) {
  PackedWindows source(make_corpus(counted_documents(kLens)), {.batch_size = 3, .seq_len = 7, .seed = 5});
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(source.next().restart.all().item<bool>());
}

TEST(BatchPosition, JsonThatIsNoPositionIsRefused) {
  const io::Json good = to_json(BatchPosition{.seed = ~uint64_t{0}, .epoch = 2, .batch = 3, .batch_size = 4, .seq_len = 5, .num_tokens = 6});
  EXPECT_EQ(to_json(batch_position_from_json(good, "p")), good);
  const auto message = [&](const char* key, const io::Json& value) {
    io::Json bad = good;
    bad[key] = value;
    return message_of<FormatError>([&] { (void)batch_position_from_json(bad, "trainer.json"); });
  };
  EXPECT_EQ(message("epoch", -1), "[trainer.json, epoch] expected an integer >= 0, got -1.");
  EXPECT_EQ(message("epoch", ~uint64_t{0}), "[trainer.json, epoch] expected an integer >= 0, got 18446744073709551615.");
  EXPECT_EQ(message("seed", 1.5), "[trainer.json, seed] expected an integer >= 0, got 1.5.");
  EXPECT_EQ(message("batch", "x"), "[trainer.json, batch] expected an integer >= 0, got \"x\".");
  EXPECT_EQ(message_of<FormatError>([&] { (void)batch_position_from_json(io::Json::array(), "trainer.json"); }),
            "[trainer.json, seed] expected an integer >= 0, got nothing.");
}

}  // namespace
}  // namespace everlong::data
