#include <algorithm>
#include <filesystem>

#include <gtest/gtest.h>

#include "everlong/tensor/torch.h"
#include "everlong/verify/golden_case.h"
#include "tests/support/files.h"

namespace everlong::testing {
namespace {

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const std::string family : {"mega", "megalodon", "bart_decoder"})
    for (const auto& entry : std::filesystem::directory_iterator(source_path("tests/golden/" + family)))
      names.push_back(family + "/" + entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string failures(const verify::CaseResult& result) {
  std::string text;
  for (const verify::Item& item : result.items)
    if (!item.ok) text += item.name + ": relative RMS error " + std::to_string(item.rel_rms) + "\n";
  return text;
}

class Golden : public ::testing::TestWithParam<std::string> {
 protected:
  [[nodiscard]] verify::CaseResult run(at::ScalarType dtype) const {
    return verify::verify_case(source_path("tests/golden/" + GetParam()), {.dtype = dtype});
  }
};

TEST_P(Golden, Fp64WithinOnePartInABillion) {
  const auto result = run(at::kDouble);
  EXPECT_TRUE(result.ok) << failures(result);
  EXPECT_GE(result.items.size(), 40u);  // logits, loss, hidden states, attention weights, states and a gradient a parameter
  for (const verify::NotCovered& left : result.not_covered)
    EXPECT_TRUE(left.name.ends_with("_f32") || left.name.find("hf_") != std::string::npos) << left.name << " is not compared";
}

TEST_P(Golden, Fp32WithinOnePartInAHundredThousand) {
  const auto result = run(at::kFloat);
  EXPECT_TRUE(result.ok) << failures(result);
}

TEST_P(Golden, Bf16LogitsAndLossWithinThreeParts) {
  const auto result = run(at::kBFloat16);
  EXPECT_TRUE(result.ok) << failures(result);
}

std::string test_name(const ::testing::TestParamInfo<std::string>& instance) {
  std::string name = instance.param;
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Families, Golden, ::testing::ValuesIn(case_names()), test_name);

TEST(MegalodonAcceptance, Line02EveryGoldenCaseIsHeldToTheBoundsOfTheListInFp32) {
  int64_t cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(source_path("tests/golden/megalodon"))) {
    const auto result = verify::verify_case(entry.path(), {.dtype = at::kFloat});
    EXPECT_TRUE(result.ok) << result.name << "\n" << failures(result);
    const double pairs = result.name == "narrow_groups" ? 1e-4 : 1e-5;
    for (const verify::Item& item : result.items) {
      if (item.name == "logits") {
        EXPECT_EQ(item.tolerance, 2e-6) << result.name;
      }
      if (item.name.starts_with("grad.")) {
        EXPECT_EQ(item.tolerance, pairs) << result.name;
      }
    }
    ++cases;
  }
  EXPECT_EQ(cases, 19);
}

TEST(Compare, SeesAWrongEntryANanAndAWrongShape) {
  const at::Tensor right = at::arange(12, at::kDouble).view({3, 4});
  at::Tensor wrong = right.clone(), nan = right.clone();
  wrong[1][1] += 1e-6;
  nan[0][0] = NAN;
  const auto ok = [&](const at::Tensor& x) { return verify::compare({{"logits", x}}, {{"logits", right}}, 1e-9).front().ok; };
  EXPECT_TRUE(ok(right + 1e-12));
  EXPECT_FALSE(ok(wrong));
  EXPECT_FALSE(ok(nan));
  EXPECT_FALSE(ok(right.narrow(0, 0, 2)));
}

TEST(Compare, ZeroGradientsAreMeasuredAgainstTheOthers) {
  const std::map<std::string, at::Tensor> expected = {{"grad.a", at::ones({4}, at::kDouble)}, {"grad.zero", at::zeros({4}, at::kDouble)}};
  const auto items = verify::compare({{"grad.a", at::ones({4}, at::kDouble)}, {"grad.zero", at::full({4}, 1e-15, at::kDouble)}}, expected, 1e-9);
  EXPECT_TRUE(items[0].ok);
  EXPECT_TRUE(items[1].ok);
  EXPECT_NEAR(items[1].rel_rms, 1e-12, 1e-15);
}

}  // namespace
}  // namespace everlong::testing
