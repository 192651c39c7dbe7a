#include "everlong/train/scores.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "tests/support/message.h"

namespace everlong::train {
namespace {

using Classes = std::vector<int64_t>;
using Values = std::vector<double>;

// Expected numbers: scikit-learn 1.x and scipy 1.x, by the call in the comment; t is the expected list and p the predicted one.
const Classes kPredicted = {1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 0, 1}, kExpected = {1, 0, 0, 1, 0, 1, 1, 0, 1, 0, 0, 1};
const Classes kManyPredicted = {0, 2, 1, 1, 3, 2, 0, 1, 2, 2, 4}, kManyExpected = {0, 1, 1, 1, 3, 2, 2, 0, 2, 1, 0};
const Values kTied = {0.1, 2.5, 3.7, 2.5, -1.0, 4.4, 2.5, 3.7}, kOther = {0.0, 2.0, 5.0, 3.0, 0.5, 4.0, 2.0, 3.0};

TEST(Scores, OfTwoClassesAreThoseOfScikitLearn) {
  EXPECT_DOUBLE_EQ(accuracy(kPredicted, kExpected), 0.75);                            // accuracy_score(t, p)
  EXPECT_DOUBLE_EQ(f1_binary(kPredicted, kExpected), 0.7692307692307693);             // f1_score(t, p)
  EXPECT_DOUBLE_EQ(f1_binary(kPredicted, kExpected, 0), 0.7272727272727273);          // f1_score(t, p, pos_label=0)
  EXPECT_DOUBLE_EQ(f1_macro(kPredicted, kExpected), 0.7482517482517483);              // f1_score(t, p, average="macro")
  EXPECT_NEAR(matthews_correlation(kPredicted, kExpected), 0.50709255283711, 1e-15);  // matthews_corrcoef(t, p)
}

TEST(Scores, OfManyClassesAreThoseOfScikitLearn) {
  EXPECT_DOUBLE_EQ(accuracy(kManyPredicted, kManyExpected), 0.5454545454545454);
  EXPECT_DOUBLE_EQ(f1_macro(kManyPredicted, kManyExpected), 0.5085714285714286);  // class 4 occurs only among the predictions and counts
  EXPECT_NEAR(matthews_correlation(kManyPredicted, kManyExpected), 0.39783003135777617, 1e-15);
}

TEST(Scores, DegenerateClassesAreThoseOfScikitLearn) {
  EXPECT_EQ(matthews_correlation(Classes{1, 0, 1}, Classes{1, 1, 1}), 0);  // matthews_corrcoef([1, 1, 1], [1, 0, 1])
  EXPECT_EQ(matthews_correlation(Classes{1, 0}, Classes{0, 1}), -1);       // matthews_corrcoef([0, 1], [1, 0])
  EXPECT_EQ(f1_binary(Classes{0, 0}, Classes{0, 0}), 0);                   // f1_score([0, 0], [0, 0])
  EXPECT_EQ(f1_macro(Classes{0, 0, 0}, Classes{1, 0, 1}), 0.25);           // f1_score([1, 0, 1], [0, 0, 0], average="macro")
  EXPECT_EQ(matthews_correlation(kExpected, kExpected), 1);
}

TEST(Scores, CorrelationsAreThoseOfScipy) {
  EXPECT_NEAR(pearson_correlation(kTied, kOther), 0.8861620158259315, 1e-15);   // pearsonr(p, t)[0]
  EXPECT_NEAR(spearman_correlation(kTied, kOther), 0.8883529931533871, 1e-15);  // spearmanr(p, t)[0], with ties on both sides
  EXPECT_DOUBLE_EQ(mean_squared_error(kTied, kOther), 0.66875);                 // mean_squared_error(t, p)
  EXPECT_NEAR(pearson_correlation(Values{1e8 + 1, 1e8 + 2, 1e8 + 4}, Values{3, 5, 4}), 0.3273268353539885, 1e-12);
  EXPECT_DOUBLE_EQ(spearman_correlation(Values{1e8 + 1, 1e8 + 2, 1e8 + 4}, Values{3, 5, 4}), 0.5);
}

TEST(Scores, AConstantListCorrelatesWithNothing) {
  const Values constant = {0.1, 0.1, 0.1}, rising = {1, 2, 3};
  EXPECT_TRUE(std::isnan(pearson_correlation(constant, rising)));  // pearsonr warns and returns nan
  EXPECT_TRUE(std::isnan(spearman_correlation(rising, constant)));
  for (const double odd : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_TRUE(std::isnan(pearson_correlation(Values{1, 2, odd}, rising)));
    EXPECT_TRUE(std::isnan(spearman_correlation(Values{1, 2, odd}, rising)));
  }
}

TEST(Scores, SpearmanSeesOnlyTheOrder) {
  Values cubed = kOther;
  for (double& value : cubed) value = value * value * value + 7;
  EXPECT_DOUBLE_EQ(spearman_correlation(kTied, cubed), spearman_correlation(kTied, kOther));
  EXPECT_NE(pearson_correlation(kTied, cubed), pearson_correlation(kTied, kOther));
}

TEST(Scores, ListsThatDoNotMatchAreRefused) {
  const std::string message = "[scores] expected as many predictions as expected values, at least one, got ";
  const Classes one = {1}, none;
  const Values x = {1}, y = {1, 2};
  EXPECT_EQ(testing::message_of<InvalidArgument>([&] { (void)accuracy(one, none); }), message + "1 and 0.");
  EXPECT_EQ(testing::message_of<InvalidArgument>([&] { (void)f1_binary(none, none); }), message + "0 and 0.");
  EXPECT_EQ(testing::message_of<InvalidArgument>([&] { (void)f1_macro(none, none); }), message + "0 and 0.");
  EXPECT_EQ(testing::message_of<InvalidArgument>([&] { (void)matthews_correlation(none, one); }), message + "0 and 1.");
  EXPECT_EQ(testing::message_of<InvalidArgument>([&] { (void)pearson_correlation(x, y); }), message + "1 and 2.");
  EXPECT_EQ(testing::message_of<InvalidArgument>([&] { (void)spearman_correlation(x, y); }), message + "1 and 2.");
  EXPECT_EQ(testing::message_of<InvalidArgument>([&] { (void)mean_squared_error(y, x); }), message + "2 and 1.");
  EXPECT_EQ(testing::message_of<InvalidArgument>([&] { (void)exact_match("x", {}); }), "[scores] expected at least one reference answer, got none.");
  EXPECT_EQ(testing::message_of<InvalidArgument>([&] { (void)token_f1("x", {}); }), "[scores] expected at least one reference answer, got none.");
}

TEST(Scores, AnswersAreComparedAsSquadComparesThem) {
  EXPECT_EQ(normalized_answer("  The Eiffel-Tower,\tin  a Paris!"), "eiffeltower in paris");
  EXPECT_EQ(normalized_answer("an THEME of \u00c9tude"), "theme of \u00c9tude");
  const std::vector<std::string> references = {"Denver Broncos", "the Broncos"};
  EXPECT_EQ(exact_match("The broncos.", references), 1);
  EXPECT_EQ(exact_match("broncos of Denver", references), 0);
  EXPECT_DOUBLE_EQ(token_f1("broncos of Denver", references), 0.8);  // 2 common words, 3 and 2 words: 2 * 2 / 5
  EXPECT_DOUBLE_EQ(token_f1("x x y", std::vector<std::string>{"x y y"}), 2.0 * 2 / 6);
  EXPECT_EQ(token_f1("x", references), 0);
}

TEST(Scores, AQuestionWithoutAnAnswerIsMetByAnEmptyOne) {
  const std::vector<std::string> none = {""};
  EXPECT_EQ(exact_match("", none), 1);
  EXPECT_EQ(token_f1("the", none), 1);
  EXPECT_EQ(exact_match("x", none), 0);
  EXPECT_EQ(token_f1("x", none), 0);
}

}  // namespace
}  // namespace everlong::train
