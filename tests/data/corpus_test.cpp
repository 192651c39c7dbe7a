#include "everlong/data/corpus.h"

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "tests/data/support.h"

namespace everlong::data {
namespace {

using testing::message_of;

using Values = std::vector<int64_t>;

TEST(Corpus, KeepsDocumentsInOrderEmptyOnesToo) {
  const Documents documents = {{1, 2}, {}, {3}};
  const std::vector<int64_t> bytes = {5, 0, -1};
  const Corpus corpus = Corpus::from_documents(documents, 10, bytes);
  EXPECT_EQ(corpus.num_tokens(), 3);
  ASSERT_EQ(corpus.num_documents(), 3);
  EXPECT_EQ(tokens_of(corpus, 0), (Values{1, 2}));
  EXPECT_EQ(tokens_of(corpus, 1), Values{});
  EXPECT_EQ(tokens_of(corpus, 2), Values{3});
  EXPECT_EQ(corpus.document_bytes(0), 5);
  EXPECT_EQ(corpus.document_bytes(2), std::nullopt);
  EXPECT_EQ(corpus.total_bytes(), std::nullopt);
}

TEST(Corpus, ReadsAcrossPiecesOfAnyTokenType) {
  Corpus corpus;
  const auto append = [&](auto first, TokenType type, bool unaligned) {
    auto storage = std::make_shared<std::vector<std::byte>>(3 * sizeof(first) + 1);
    for (size_t i = 0; i < 3; ++i) {
      const auto token = static_cast<decltype(first)>(first + static_cast<decltype(first)>(i));
      std::memcpy(storage->data() + unaligned + i * sizeof(first), &token, sizeof(first));
    }
    const auto bytes = std::span<const std::byte>(*storage).subspan(unaligned, 3 * sizeof(first));
    const std::vector<int64_t> lens = {1, 2};
    corpus.append({.name = "piece", .type = type, .bytes = bytes, .vocab_size = 1 << 20, .owner = storage}, lens);
  };
  append(uint8_t{200}, TokenType::u8, false);
  append(int8_t{100}, TokenType::i8, false);
  append(uint16_t{65000}, TokenType::u16, true);
  append(int16_t{30000}, TokenType::i16, true);
  append(int32_t{1000000}, TokenType::i32, true);
  append(int64_t{1000003}, TokenType::i64, true);
  Values tokens(17);
  corpus.copy_tokens(1, tokens);
  EXPECT_EQ(tokens,
            (Values{201, 202, 100, 101, 102, 65000, 65001, 65002, 30000, 30001, 30002, 1000000, 1000001, 1000002, 1000003, 1000004, 1000005}));
  EXPECT_EQ(corpus.num_documents(), 12);
}

TEST(Corpus, AnIdOutsideTheVocabularyIsRefusedWhereItStands) {
  auto storage = std::make_shared<std::vector<int16_t>>(std::vector<int16_t>{1, 2, 3, -4, 300});
  Corpus corpus;
  const std::vector<int64_t> lens = {5};
  corpus.append(
      {.name = "a.bin", .type = TokenType::i16, .bytes = std::as_bytes(std::span(*storage)), .file_offset = 100, .vocab_size = 256, .owner = storage},
      lens);
  Values tokens(3);
  corpus.copy_tokens(0, tokens);
  EXPECT_EQ(message_of<FormatError>([&] { corpus.copy_tokens(2, tokens); }),
            "[a.bin at 106, token] expected an id in [0, 256), got -4. Hint: the file may come from another tokenizer.");
  EXPECT_EQ(message_of<FormatError>([&] { corpus.copy_tokens(4, std::span(tokens).first(1)); }),
            "[a.bin at 108, token] expected an id in [0, 256), got 300. Hint: the file may come from another tokenizer.");
}

TEST(Corpus, WhatDoesNotFitTogetherIsRefused) {
  const Documents documents = {{1, 2}, {9}};
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)Corpus::from_documents(documents, 9); }), "[corpus] expected token ids in [0, 9), got 9.");
  const std::vector<int64_t> bytes = {1};
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)Corpus::from_documents(documents, 10, bytes); }),
            "[corpus] expected byte counts of 2 documents, got 1.");
  const Corpus corpus = Corpus::from_documents(documents, 10);
  Values tokens(2);
  EXPECT_EQ(message_of<InvalidArgument>([&] { corpus.copy_tokens(2, tokens); }), "[corpus] expected a range of tokens inside [0, 3), got 2 from 2.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { corpus.copy_tokens(-1, tokens); }),
            "[corpus] expected a range of tokens inside [0, 3), got 2 from -1.");
  Corpus other;
  const std::vector<int64_t> lens = {2};
  EXPECT_EQ(message_of<InvalidArgument>([&] { other.append({.name = "a"}, lens); }), "[corpus] expected documents of 0 tokens in all, got 2.");
}

}  // namespace
}  // namespace everlong::data
