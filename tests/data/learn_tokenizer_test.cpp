#include "everlong/data/learn_tokenizer.h"

#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "tests/support/files.h"
#include "tests/support/message.h"

namespace everlong::data {
namespace {

TEST(LearnTokenizer, TextsOfEveryFormAreLearnedFrom) {
  const testing::TemporaryFolder folder;
  testing::write_text(folder / "a.txt", "the cat sat on the mat");
  testing::write_text(folder / "b.jsonl", "{\"text\": \"the other cat\"}\n");
  const std::vector<std::filesystem::path> files{folder / "a.txt", folder / "b.jsonl"};
  const auto tokenizer = learn_bpe(files, 260, {});
  EXPECT_EQ(tokenizer->vocab_size(), 260);
  EXPECT_LT(tokenizer->encode("the cat").size(), 7u);
}

TEST(LearnTokenizer, PackedTokensAreRefusedByTheNameOfTheirFile) {
  for (const char* name : {"of_a_length_that_no_string_keeps_inside.bin", "of_a_length_that_no_string_keeps_inside.idx"}) {
    const std::vector<std::filesystem::path> files{name};
    EXPECT_EQ(testing::message_of<InvalidArgument>([&] { (void)learn_bpe(files, 300, {}); }),
              std::string("[") + name +
                  "] expected text to learn a tokenizer from, got packed tokens. Hint: set data.tokenizer to the one that packed them.");
  }
}

}  // namespace
}  // namespace everlong::data
