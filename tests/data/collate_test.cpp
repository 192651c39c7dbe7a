#include "everlong/data/collate.h"

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/tensor/torch.h"
#include "tests/data/support.h"

namespace everlong::data {
namespace {

using testing::message_of;

using Values = std::vector<int64_t>;

EncodedExample example(std::vector<std::vector<int32_t>> rows, std::vector<int64_t> targets = {}) {
  return {.rows = std::move(rows), .targets = std::move(targets), .has_label = true};
}

TEST(Collate, PadsToTheLongestRow) {
  const std::vector<std::vector<int32_t>> rows = {{5}, {6, 7, 8}};
  const auto padded = pad_rows(rows, {.pad_id = 1});
  EXPECT_EQ(padded.tokens.sizes(), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(values_of(padded.tokens), (Values{5, 1, 1, 6, 7, 8}));
  EXPECT_EQ(values_of(padded.attention_mask), (Values{1, 0, 0, 1, 1, 1}));
  EXPECT_EQ(padded.attention_mask.scalar_type(), at::kBool);
  EXPECT_EQ(values_of(pad_rows(rows, {.pad_id = 9, .multiple = 2}).tokens), (Values{5, 9, 9, 9, 6, 7, 8, 9}));
  EXPECT_EQ(pad_rows(rows, {.multiple = 3}).tokens.size(1), 3);
}

TEST(Collate, TargetsHaveTheShapeOfTheTask) {
  const Values both = {1, 0};
  const std::vector<EncodedExample> single = {example({{5}}, {3}), example({{6, 7}}, {4})};
  EXPECT_EQ(values_of(collate(single, both, Task::classification, {}).tokens), (Values{6, 7, 5, 1}));
  EXPECT_EQ(values_of(*collate(single, both, Task::classification, {}).targets), (Values{4, 3}));
  EXPECT_EQ(collate(single, both, Task::classification, {}).targets->dim(), 1);
  const std::vector<EncodedExample> many = {example({{5}}, {0, 1, 1}), example({{6, 7}}, {1, 0, 0})};
  const auto multi = collate(many, both, Task::multi_label, {});
  EXPECT_EQ(multi.targets->scalar_type(), at::kFloat);
  EXPECT_EQ(values_of(*multi.targets), (Values{1, 0, 0, 0, 1, 1}));
  const std::vector<EncodedExample> words = {example({{5}}, {2}), example({{6, 7}}, {kNoLabel, 1})};
  EXPECT_EQ(values_of(*collate(words, both, Task::token_classification, {.multiple = 4}).targets),
            (Values{kNoLabel, 1, kNoLabel, kNoLabel, 2, kNoLabel, kNoLabel, kNoLabel}));
  const std::vector<EncodedExample> spans = {example({{5}}, {0, 0}), example({{6, 7}}, {0, 1})};
  EXPECT_EQ(collate(spans, both, Task::question_answering, {}).targets->sizes(), (std::vector<int64_t>{2, 2}));
  std::vector<EncodedExample> numbers = {example({{5}}), example({{6, 7}})};
  numbers[1].value = 2.5;
  EXPECT_TRUE(at::equal(*collate(numbers, both, Task::regression, {}).targets, at::tensor({2.5f, 0.0f})));
}

TEST(Collate, ChoicesAreAnAxisOfTheirOwn) {
  const std::vector<EncodedExample> examples = {example({{5}, {6, 7}}, {1}), example({{8, 9, 10}, {11}}, {0})};
  const auto batch = collate(examples, Values{0, 1}, Task::multiple_choice, {});
  EXPECT_EQ(batch.tokens.sizes(), (std::vector<int64_t>{2, 2, 3}));
  EXPECT_EQ(values_of(batch.tokens[1][1]), (Values{11, 1, 1}));
  EXPECT_EQ(values_of(batch.attention_mask[0][1]), (Values{1, 1, 0}));
  EXPECT_EQ(values_of(*batch.targets), (Values{1, 0}));
}

TEST(Collate, WithoutALabelThereAreNoTargets) {
  std::vector<EncodedExample> examples = {example({{5}}, {1}), example({{6}})};
  examples[1].has_label = false;
  EXPECT_FALSE(collate(examples, Values{0, 1}, Task::classification, {}).targets);
  EXPECT_TRUE(collate(examples, Values{0}, Task::classification, {}).targets);
}

TEST(Collate, WhatDoesNotFitTogetherIsRefused) {
  const std::vector<EncodedExample> examples = {example({{5}, {6}}, {1}), example({{6}}, {1, 0}), example({{}}, {1})};
  EXPECT_EQ(message_of<InvalidArgument>([&] {
              (void)collate(examples, Values{0, 1}, Task::multiple_choice, {});
            }),
            "[data] expected as many choices in every example of a batch: 2, got 1.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)collate(examples, Values{1}, Task::classification, {}); }),
            "[data] expected as many targets in every example of a batch: 1, got 2.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)collate(examples, Values{3}, Task::classification, {}); }),
            "[data] expected numbers of 3 examples, got 3.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)collate(examples, Values{2}, Task::classification, {}); }),
            "[data] expected a batch with tokens, got 1 empty rows.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)collate(examples, Values{}, Task::classification, {}); }),
            "[data] expected a batch with tokens, got 0 empty rows.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)collate(examples, Values{1}, Task::classification, {.multiple = 0}); }),
            "[data] expected a multiple >= 1 to pad to, got 0.");
}

}  // namespace
}  // namespace everlong::data
