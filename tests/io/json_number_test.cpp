#include "everlong/io/json_number.h"

#include <cstdint>
#include <limits>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "tests/io/support.h"

namespace everlong::io {
namespace {

TEST(JsonNumber, WholeNumbersAreReadUpToTheLimitOfTheirType) {
  const Json object = parse_json(R"({"zero": 0, "most": 18446744073709551615, "signed": 9223372036854775807, "small": 255})", "f");
  uint64_t wide = 1;
  read_whole_number(object, "zero", "f", wide);
  EXPECT_EQ(wide, 0u);
  read_whole_number(object, "most", "f", wide);
  EXPECT_EQ(wide, std::numeric_limits<uint64_t>::max());
  int64_t number = 1;
  read_whole_number(object, "signed", "f", number);
  EXPECT_EQ(number, std::numeric_limits<int64_t>::max());
  uint8_t small = 1;
  read_whole_number(object, "small", "f", small);
  EXPECT_EQ(small, 255);
  read_whole_number(Json{{"made", int64_t{7}}}, "made", "f", number);
  EXPECT_EQ(number, 7);
}

TEST(JsonNumber, AnythingElseIsRefusedAndTheNumberKeepsItsValue) {
  const auto refusal = [](const char* text) {
    int64_t number = 41;
    const std::string message = message_of<FormatError>([&] { read_whole_number(parse_json(text, "f"), "n", "a.json", number); });
    EXPECT_EQ(number, 41) << text;
    return message;
  };
  const std::string expected = "[a.json, n] expected an integer >= 0, got ";
  EXPECT_EQ(refusal("{}"), expected + "nothing.");
  EXPECT_EQ(refusal("[1]"), expected + "nothing.");
  EXPECT_EQ(refusal("3"), expected + "nothing.");
  EXPECT_EQ(refusal(R"({"n": -1})"), expected + "-1.");
  EXPECT_EQ(refusal(R"({"n": 1.0})"), expected + "1.0.");
  EXPECT_EQ(refusal(R"({"n": "5"})"), expected + "\"5\".");
  EXPECT_EQ(refusal(R"({"n": null})"), expected + "null.");
  EXPECT_EQ(refusal(R"({"n": 9223372036854775808})"), expected + "9223372036854775808.");
}

}  // namespace
}  // namespace everlong::io
