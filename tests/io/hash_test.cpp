#include "everlong/io/hash.h"

#include <gtest/gtest.h>

#include "tests/support/files.h"

namespace everlong::io {
namespace {

TEST(Hash, MatchesThePublishedAlgorithm) {
  EXPECT_EQ(hash_hex(std::string_view()), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(hash_hex("abc"), "06b05ab6733a618578af5f94892f3950");
}

TEST(Hash, DoesNotDependOnHowTheBytesAreCut) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += std::to_string(i);
  for (const size_t step : {1U, 7U, 256U, 4096U}) {
    Hasher hasher;
    for (size_t i = 0; i < text.size(); i += step) hasher.update(std::string_view(text).substr(i, step));
    EXPECT_EQ(hasher.hex(), hash_hex(text)) << step;
  }
}

TEST(Hash, OfAFileIsTheHashOfItsBytes) {
  const testing::TemporaryFolder folder;
  const std::string text(3'000'000, 'x');
  testing::write_text(folder / "a", text);
  EXPECT_EQ(hash_file_hex(folder / "a"), hash_hex(text));
  EXPECT_NE(hash_hex(text), hash_hex(text + "x"));
}

}  // namespace
}  // namespace everlong::io
