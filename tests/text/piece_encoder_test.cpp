#include "everlong/text/piece_encoder.h"

#include <gtest/gtest.h>

#include "everlong/base/rng.h"
#include "everlong/text/bpe_definition.h"
#include "everlong/text/bpe_trainer.h"
#include "tests/support/files.h"

namespace everlong::text {
namespace {

std::vector<int32_t> in_random_pieces(const Tokenizer& tokenizer, std::string_view text, uint64_t seed) {
  CounterRng rng(seed, 0);
  PieceEncoder encoder(tokenizer);
  std::vector<int32_t> ids;
  while (!text.empty()) {
    const auto len = std::min<size_t>(text.size(), 1 + rng.next_below(300));
    encoder.push(text.substr(0, len), ids);
    text.remove_prefix(len);
  }
  encoder.finish(ids);
  return ids;
}

TEST(PieceEncoder, GivesTheIdsOfTheWholeTextHoweverItIsCut) {
  const std::string novel = everlong::testing::read_text(everlong::testing::source_path("assets/austen/persuasion.txt")).substr(0, 60000);
  const std::string nasty = "a  b\n\n c\xe3\x80\x80 d\xc2\xa0 e'll  \t x\xff\xfe y 12 345 \n";
  const std::vector<std::string_view> texts = {novel};
  const auto bpe = make_bpe_tokenizer(train_bpe(texts, 600));
  for (const std::string& text : {novel, nasty + nasty + nasty})
    for (uint64_t seed = 0; seed < 5; ++seed) {
      EXPECT_EQ(in_random_pieces(*bpe, text, seed), bpe->encode(text, {.add_special = false, .parse_special = false}));
      EXPECT_EQ(in_random_pieces(*make_bytes_tokenizer(), text, seed), make_bytes_tokenizer()->encode(text));
    }
}

TEST(PieceEncoder, HoldsOnePieceOnlyWhereTheTokenizerAllowsIt) {
  const auto bytes = make_bytes_tokenizer();
  EXPECT_TRUE(PieceEncoder(*bytes).bounded());
  auto definition = train_bpe(std::vector<std::string_view>{"some words and some more words"}, 270);
  EXPECT_TRUE(PieceEncoder(*make_bpe_tokenizer(definition)).bounded());
  definition.pre_tokenizer.front().add_prefix_space = true;  // the first word of a text is then not like the others
  EXPECT_FALSE(PieceEncoder(*make_bpe_tokenizer(definition)).bounded());
}

}  // namespace
}  // namespace everlong::text
