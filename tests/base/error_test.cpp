#include "everlong/base/error.h"

#include <cerrno>

#include <gtest/gtest.h>

#include "everlong/base/checked_math.h"

namespace everlong {
namespace {

TEST(Error, AMessageSaysWhereExpectedGotAndHint) {
  EXPECT_STREQ(InvalidArgument({.where = "ema", .expected = "q [D, N] = [512, 16]", .got = "[512, 8]", .hint = "ema_ndim is 16"}).what(),
               "[ema] expected q [D, N] = [512, 16], got [512, 8]. Hint: ema_ndim is 16.");
  EXPECT_STREQ(InvalidArgument({.where = "ema", .expected = "a tensor"}).what(), "[ema] expected a tensor.");
}

TEST(Error, AFormatErrorNamesFileOffsetAndField) {
  const FormatError error({.file = "a.safetensors", .offset = 8, .field = "w.shape"}, "integers >= 0", "-1");
  EXPECT_STREQ(error.what(), "[a.safetensors at 8, w.shape] expected integers >= 0, got -1.");
  EXPECT_EQ(error.location().offset, 8);
}

TEST(Error, TheOperatingSystemsReasonIsSpelledOut) {
  EXPECT_STREQ(IoError("open", "missing.txt", ENOENT).what(), "[missing.txt] cannot open: No such file or directory.");
}

TEST(CheckedMath, OverflowIsAbsentNotWrapped) {
  EXPECT_EQ(checked_mul<int64_t>(1LL << 40, 1LL << 20), 1LL << 60);
  EXPECT_FALSE(checked_mul<int64_t>(1LL << 40, 1LL << 40).has_value());
  EXPECT_FALSE(checked_add<uint64_t>(~0ULL, 1).has_value());
  const std::array<int64_t, 3> factors{1LL << 30, 1LL << 30, 8};
  EXPECT_FALSE(checked_product<int64_t>(factors).has_value());
  EXPECT_FALSE(checked_cast<int32_t>(1LL << 40).has_value());
}

}  // namespace
}  // namespace everlong
