#include "everlong/text/gpt2_split.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "everlong/base/rng.h"
#include "everlong/text/regex.h"
#include "everlong/text/utf8.h"

namespace everlong::text {
namespace {

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = gpt2_word_end(text, begin);
    words.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  return words;
}

std::vector<std::string> words_by_regex(std::string_view text, const Regex& regex) {
  std::vector<std::string> words;
  for (size_t begin = 0; begin < text.size();) {
    const auto match = regex.find(text, begin);
    if (!match) break;
    words.emplace_back(text.substr(match->begin, match->end - match->begin));
    begin = match->end;
  }
  return words;
}

TEST(Gpt2Split, WordsTakeOneSpaceAlongAndContractionsStandAlone) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(words_of("It's  a dog's life, isn't it?"), (Words{"It", "'s", " ", " a", " dog", "'s", " life", ",", " isn", "'t", " it", "?"}));
  EXPECT_EQ(words_of("x \n\n y  "), (Words{"x", " \n\n", " y", "  "}));
  EXPECT_EQ(words_of("a\nb"), (Words{"a", "\n", "b"}));
  EXPECT_EQ(words_of("abc123\u00bd def"), (Words{"abc", "123\u00bd", " def"}));
  EXPECT_EQ(words_of("'S 'll'"), (Words{"'", "S", " '", "ll", "'"}));
  EXPECT_EQ(words_of(""), Words{});
}

TEST(Gpt2Split, RandomTextSplitsAsTheRegularExpressionDoes) {
  // U+180E is left out: PCRE2 counts it among \s, White_Space does not.
  const std::vector<std::string> atoms{" ",      " ",      "  ",     "\n",         "\t",         "\r",     "'",
                                       "s",      "t",      "re",     "ve",         "ll",         "d",      "m",
                                       "A",      "z",      "0",      "9",          ".",          "-",      "_",
                                       "\u00a0", "\u2003", "\u3000", "\u0085",     "\u00e9",     "\u0416", "\u4e2d",
                                       "\u0663", "\u2167", "\u00bd", "\u0301",     "\U0001F600", "\u200d", std::string(1, '\0'),
                                       "\x7f",   "\x1c",   "\u2028", "\U0001D400", "\ufeff",     "\u05d0", "\u0e01"};
  const Regex regex{std::string(kGpt2Pattern), "test", "pattern"};
  CounterRng rng(7, 0);
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (uint64_t i = 1 + rng.next_below(12); i > 0; --i) text += atoms[rng.next_below(atoms.size())];
    ASSERT_EQ(words_of(text), words_by_regex(text, regex)) << testing::PrintToString(text);
  }
}

TEST(Gpt2Split, BytesThatAreNoUtf8StayInTheText) {
  for (const std::string text : {"a\xff\xfe b", "\xc3", " \xe2\x82", "\xf0\x9f\x98z"}) {
    std::string joined;
    for (const std::string& word : words_of(text)) joined += word;
    EXPECT_EQ(joined, text);
  }
}

}  // namespace
}  // namespace everlong::text
