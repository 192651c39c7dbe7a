#include "everlong/data/masking.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/base/rng.h"
#include "everlong/text/tokenizer.h"
#include "tests/support/files.h"
#include "tests/support/message.h"

namespace everlong::data {
namespace {

using testing::message_of;

using Ids = std::vector<int64_t>;

constexpr int64_t kVocab = 103;  // 0, 1, 2 and 102 are special; 102 is the mask; even ids begin a word
constexpr int32_t kMask = 102;

TokenRoles roles() {
  std::vector<uint8_t> special(kVocab), begins_word(kVocab);
  for (const size_t id : {0, 1, 2, 102}) special[id] = 1;
  for (size_t id = 4; id < 102; id += 2) begins_word[id] = 1;
  return token_roles(special, begins_word);
}

Ids sentence(int64_t len, uint64_t seed) {
  CounterRng rng(seed, 77);
  Ids ids = {0};
  for (int64_t i = 0; i < len; ++i) ids.push_back(3 + static_cast<int64_t>(rng.next_below(99)));
  ids.insert(ids.end(), {2, 1, 1});
  return ids;
}

struct Masked {
  Ids ids, labels;
  int64_t count = 0;
};

Masked masked(const Masking& masking, const Ids& ids, int64_t example) {
  Masked result{.ids = ids, .labels = Ids(ids.size())};
  result.count = masking.mask(result.ids, result.labels, example);
  return result;
}

/// Pearson's statistic of counts against the shares they should have.
double chi_square(const std::vector<double>& counts, const std::vector<double>& shares) {
  double total = 0, sum = 0;
  for (const double count : counts) total += count;
  for (size_t i = 0; i < counts.size(); ++i) sum += (counts[i] - total * shares[i]) * (counts[i] - total * shares[i]) / (total * shares[i]);
  return sum;
}

TEST(Masking, LabelsAreWhatWasThereAndSpecialTokensStay) {
  for (const bool whole_words : {false, true}) {
    const Masking masking(roles(), {.whole_words = whole_words, .mask_id = kMask, .seed = 4});
    for (int64_t example = 0; example < 500; ++example) {
      const Ids ids = sentence(example % 60, static_cast<uint64_t>(example));
      const Masked result = masked(masking, ids, example);
      int64_t count = 0;
      for (size_t i = 0; i < ids.size(); ++i) {
        const bool is_special = masking.roles().special[static_cast<size_t>(ids[i])] != 0;
        if (result.labels[i] == kNoLabel) {
          EXPECT_EQ(result.ids[i], ids[i]);
        } else {
          ++count;
          EXPECT_FALSE(is_special);
          EXPECT_EQ(result.labels[i], ids[i]);
        }
      }
      EXPECT_EQ(result.count, count);
      EXPECT_EQ(count == 0, example % 60 == 0) << "an example with ordinary tokens has something to predict";
    }
  }
}

TEST(Masking, OneTokenIsMaskedEvenAtATinyRatio) {
  const Masking masking(roles(), {.ratio = 1e-9, .mask_id = kMask});
  for (int64_t example = 0; example < 200; ++example) EXPECT_EQ(masked(masking, sentence(1 + example % 9, 1), example).count, 1);
}

TEST(Masking, ARatioOfOneMasksAll) {
  const Masking masking(roles(), {.ratio = 1, .mask_share = 1, .random_share = 0, .mask_id = kMask});
  const Masked result = masked(masking, sentence(40, 1), 0);
  EXPECT_EQ(result.count, 40);
  EXPECT_EQ(std::count(result.ids.begin(), result.ids.end(), kMask), 40);
}

TEST(Masking, TheShareOfPredictedTokensIsTheRatio) {
  // The count is floor(x) or ceil(x), x = 0.37 n, with mean x: over N examples the sum has a standard deviation of at most sqrt(N) / 2.
  const Masking masking(roles(), {.ratio = 0.37, .mask_id = kMask, .seed = 8});
  constexpr int64_t kExamples = 4000;
  double sum = 0;
  for (int64_t example = 0; example < kExamples; ++example) {
    const int64_t count = masked(masking, sentence(21, 5), example).count;
    EXPECT_TRUE(count == 7 || count == 8);  // 7.77
    sum += static_cast<double>(count);
  }
  EXPECT_NEAR(sum, 0.37 * 21 * kExamples, 4 * std::sqrt(kExamples) / 2);
}

TEST(Masking, EightyTenTenAndEveryPositionAlike) {
  const Masking masking(roles(), {.mask_id = kMask, .seed = 3});
  const Ids ids = sentence(50, 9);
  std::vector<double> shown(3), by_position(50), random_ids(98);
  for (int64_t example = 0; example < 5000; ++example) {
    const Masked result = masked(masking, ids, example);
    for (size_t i = 1; i <= 50; ++i) {
      if (result.labels[i] == kNoLabel) continue;
      ++by_position[i - 1];
      if (result.ids[i] == kMask) {
        ++shown[0];
      } else if (result.ids[i] == ids[i]) {
        ++shown[2];  // kept, or drawn at random to be the same: 1 in 99
      } else {
        ++shown[1];
        // The 98 others in order, whatever the token was.
        ++random_ids[static_cast<size_t>(result.ids[i] - 3 - (result.ids[i] > ids[i] ? 1 : 0))];
      }
    }
  }
  EXPECT_LT(chi_square(shown, {0.8, 0.1 * 98 / 99, 0.1 + 0.1 / 99}), 13.8);     // 2 degrees of freedom: p = 0.001
  EXPECT_LT(chi_square(by_position, std::vector<double>(50, 1.0 / 50)), 85.4);  // 49: p = 0.001; without replacement it is smaller still
  EXPECT_LT(chi_square(random_ids, std::vector<double>(98, 1.0 / 98)), 145.8);  // 97: p = 0.001
  EXPECT_GT(chi_square(shown, {0.79, 0.11, 0.10}), 100);                        // what the bound would see
}

TEST(Masking, PairsOfPositionsAreDrawnIndependently) {
  const Masking masking(roles(), {.ratio = 0.5, .mask_id = kMask, .seed = 12});
  const Ids ids = sentence(4, 2);
  std::vector<double> pairs(6);
  for (int64_t example = 0; example < 6000; ++example) {
    const Masked result = masked(masking, ids, example);
    std::vector<size_t> at;
    for (size_t i = 1; i <= 4; ++i) {
      if (result.labels[i] != kNoLabel) at.push_back(i - 1);
    }
    ASSERT_EQ(at.size(), 2u);
    ++pairs[at[0] == 0 ? at[1] - 1 : at[0] == 1 ? at[1] + 1 : 5];
  }
  EXPECT_LT(chi_square(pairs, std::vector<double>(6, 1.0 / 6)), 20.5);  // 5 degrees of freedom: p = 0.001
}

TEST(Masking, WholeWordsArePredictedTogether) {
  const Masking masking(roles(), {.whole_words = true, .mask_id = kMask, .seed = 6});
  int64_t words = 0, predicted_words = 0, split_shown = 0;
  for (int64_t example = 0; example < 2000; ++example) {
    const Ids ids = sentence(30, static_cast<uint64_t>(example));
    const Masked result = masked(masking, ids, example);
    for (size_t i = 1; i <= 30; ++i) {
      const bool continues = i > 1 && ids[i] % 2 == 1;
      words += !continues;
      predicted_words += !continues && result.labels[i] != kNoLabel;
      if (!continues) continue;
      EXPECT_EQ(result.labels[i] == kNoLabel, result.labels[i - 1] == kNoLabel);
      split_shown += result.labels[i] != kNoLabel && (result.ids[i] == kMask) != (result.ids[i - 1] == kMask);
    }
  }
  EXPECT_NEAR(static_cast<double>(predicted_words) / static_cast<double>(words), 0.4, 4 * 0.5 / std::sqrt(2000 * 15.0));
  EXPECT_GT(split_shown, 0) << "each token of a word has its own draw";
}

TEST(Masking, SeedAndExampleDecideAndNothingElse) {
  const Ids ids = sentence(40, 1);
  const Masking one(roles(), {.mask_id = kMask, .seed = 1}), again(roles(), {.mask_id = kMask, .seed = 1}),
      other(roles(), {.mask_id = kMask, .seed = 2});
  std::set<Ids> different;
  for (int64_t example = 0; example < 100; ++example) {
    EXPECT_EQ(masked(one, ids, example).ids, masked(again, ids, example).ids);
    EXPECT_NE(masked(one, ids, example).labels, masked(other, ids, example).labels);
    different.insert(masked(one, ids, example).labels);
  }
  EXPECT_EQ(different.size(), 100u);
  EXPECT_EQ(masked(one, {0, 10, 11, 12, 13, 14, 2}, (int64_t{1} << 48) - 1).count,
            masked(again, {0, 10, 11, 12, 13, 14, 2}, (int64_t{1} << 48) - 1).count);
}

TEST(Masking, WordsOfRealTokenizersBeginWhereTheirSpellingSaysIt) {
  const auto gpt2 = text::load_tokenizer(testing::source_path("assets/gpt2"));
  const auto llama = text::load_tokenizer(testing::source_path("tests/data/text/llama.json"));
  for (const text::Tokenizer* tokenizer : {gpt2.get(), llama.get()}) {
    const TokenRoles found = token_roles(*tokenizer);
    const auto ids = tokenizer->encode("the unbelievable thing");
    int64_t words = 0;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (found.special[static_cast<size_t>(ids[i])]) continue;
      const bool first = i == 0 || found.special[static_cast<size_t>(ids[i - 1])];
      words += first || found.begins_word[static_cast<size_t>(ids[i])];
    }
    EXPECT_EQ(words, 3) << tokenizer->kind();
    EXPECT_TRUE(found.special[static_cast<size_t>(*tokenizer->special_ids().eos)]);
    EXPECT_EQ(found.vocab_size(), tokenizer->vocab_size());
  }
}

TEST(Masking, WhatCannotBeMeantIsRefused) {
  const auto says = [](const auto& action) { return message_of<InvalidArgument>(action); };
  for (const double ratio : {0.0, -1.0, 1.1, std::nan("")}) {
    EXPECT_NE(says([&] { Masking(roles(), {.ratio = ratio, .mask_id = kMask}); }).find("expected 0 < ratio <= 1"), std::string::npos);
  }
  EXPECT_EQ(says([&] { Masking(roles(), {.mask_share = 0.95, .mask_id = kMask}); }),
            "[masking] expected mask_share and random_share >= 0 that sum to at most 1, got 0.95 and 0.1.");
  EXPECT_EQ(says([&] { Masking(roles(), {.mask_id = 103}); }),
            "[masking] expected a mask_id from 0 to 102, got 103. Hint: the tokenizer of a masked language model has a mask token.");
  EXPECT_EQ(says([&] { (void)token_roles({1, 1}, {0, 0}); }), "[masking] expected a vocabulary with ordinary tokens, got none.");
  EXPECT_EQ(says([&] { (void)token_roles({1, 0}, {0}); }), "[masking] expected two tables of one length, got 2 and 1 ids.");
  const Masking masking(roles(), {.mask_id = kMask});
  Ids ids = {3, 103}, labels(2), one(1);
  EXPECT_EQ(says([&] { (void)masking.mask(ids, labels, 0); }), "[masking] expected ids from 0 to 102, got 103.");
  EXPECT_EQ(says([&] { (void)masking.mask(ids, one, 0); }), "[masking] expected as many labels as ids, got 1 and 2.");
  EXPECT_EQ(says([&] { (void)masking.mask(labels, labels, -1); }), "[masking] expected an example in [0, 2^48), got -1.");
}

}  // namespace
}  // namespace everlong::data
