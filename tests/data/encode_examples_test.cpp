#include "everlong/data/encode_examples.h"

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "tests/support/files.h"
#include "tests/support/message.h"

namespace everlong::data {
namespace {

using testing::message_of;

using Ids = std::vector<int32_t>;
using Targets = std::vector<int64_t>;

class EncodeExamples : public ::testing::Test {
 protected:
  EncodedExample encode(Task task, const LabelledExample& example, std::vector<std::string> classes = {}, int64_t max_len = 64) const {
    const ExampleEncoder encoder(*gpt2_, LabelMap(std::move(classes)), {.task = task, .pair = {.marks = kMarks, .max_len = max_len}});
    return encoder.encode(example, "x.tsv");
  }
  [[nodiscard]] std::string spelled(const Ids& ids) const {
    std::string text;
    for (const int32_t id : ids) text += id == kMarks.begin ? "<s>" : id == kMarks.end ? "</s>" : "|" + std::string(gpt2_->token_bytes(id));
    return text;
  }

  static constexpr SequenceMarks kMarks{.begin = 188, .end = 189};  // control bytes that no text here has
  static const text::Tokenizer* gpt2() {
    static const auto tokenizer = text::load_tokenizer(testing::source_path("assets/gpt2"));
    return tokenizer.get();
  }
  const text::Tokenizer* gpt2_ = gpt2();
};

TEST_F(EncodeExamples, ClassesBecomeNumbers) {
  const auto encoded = encode(Task::classification, {.text = "I love", .text_b = "it", .has_label = true, .classes = {"yes"}}, {"no", "yes"});
  EXPECT_EQ(spelled(encoded.rows.at(0)), "<s>|I| love</s></s>|it</s>");
  EXPECT_EQ(encoded.targets, (Targets{1}));
  EXPECT_EQ(encoded.max_len(), 7);
  EXPECT_EQ(message_of<FormatError>([&] {
              (void)encode(Task::classification, {.text = "a", .has_label = true, .classes = {"maybe"}, .line = 4}, {"no", "yes"});
            }),
            "[x.tsv at 4, label] expected one of the classes no, yes, got 'maybe'.");
  EXPECT_TRUE(encode(Task::classification, {.text = "a"}).targets.empty());
}

TEST_F(EncodeExamples, ManyClassesAreMarked) {
  EXPECT_EQ(encode(Task::multi_label, {.text = "a", .has_label = true, .classes = {"x", "z"}}, {"x", "y", "z"}).targets, (Targets{1, 0, 1}));
  EXPECT_EQ(encode(Task::multi_label, {.text = "a", .has_label = true}, {"x", "y"}).targets, (Targets{0, 0}));
  EXPECT_TRUE(encode(Task::multi_label, {.text = "a"}, {"x", "y"}).targets.empty());
}

TEST_F(EncodeExamples, AWordIsLabelledAtItsFirstToken) {
  const LabelledExample example{.words = {"Hi", "unbelievablest", "Ann"}, .has_label = true, .classes = {"O", "A", "P"}};
  const auto encoded = encode(Task::token_classification, example, {"A", "O", "P"});
  EXPECT_EQ(spelled(encoded.rows.at(0)), "<s>| Hi| unbeliev|abl|est| Ann</s>");
  EXPECT_EQ(encoded.targets, (Targets{kNoLabel, 1, 0, kNoLabel, kNoLabel, 2, kNoLabel}));
  const auto cut = encode(Task::token_classification, example, {"A", "O", "P"}, 4);
  EXPECT_EQ(cut.targets, (Targets{kNoLabel, 1, 0, kNoLabel}));
}

TEST_F(EncodeExamples, EveryChoiceIsARow) {
  const auto encoded = encode(Task::multiple_choice, {.text = "Why", .choices = {"so", "no way"}, .has_label = true, .choice = 1});
  ASSERT_EQ(encoded.rows.size(), 2u);
  EXPECT_EQ(spelled(encoded.rows[1]), "<s>|Why</s></s>|no| way</s>");
  EXPECT_EQ(encoded.targets, (Targets{1}));
}

TEST_F(EncodeExamples, TwoTextsMayBeReadSeparately) {
  const ExampleEncoder encoder(*gpt2_, LabelMap({"no", "yes"}), {.pair = {.marks = kMarks, .max_len = 3}, .separate = true});
  const auto encoded = encoder.encode({.text = "I love", .text_b = "it", .has_label = true, .classes = {"no"}}, "x.tsv");
  ASSERT_EQ(encoded.rows.size(), 2u);
  EXPECT_EQ(spelled(encoded.rows[0]) + spelled(encoded.rows[1]), "<s>|I</s><s>|it</s>");
  EXPECT_EQ(encoded.targets, (Targets{0}));
  EXPECT_EQ(message_of<FormatError>([&] { (void)encoder.encode({.text = "a", .line = 3}, "x.tsv"); }),
            "[x.tsv at 3, text_b] expected a second text, got none.");
}

TEST_F(EncodeExamples, AnAnswerIsItsFirstAndLastToken) {
  LabelledExample example{.text = "Who", .text_b = "It was Ann Smith, unbelievably.", .has_label = true, .answers = {"Ann Smith"}, .answer_begin = 7};
  auto encoded = encode(Task::question_answering, example);
  const Ids& row = encoded.rows.at(0);
  EXPECT_EQ(spelled({row.begin() + encoded.targets.at(0), row.begin() + encoded.targets.at(1) + 1}), "| Ann| Smith");
  encoded = encode(Task::question_answering, example, {}, 8);  // the context is cut behind "It was Ann"
  EXPECT_EQ(spelled(encoded.rows.at(0)), "<s>|Who</s></s>|It| was| Ann</s>");
  EXPECT_EQ(encoded.targets, (Targets{0, 0}));
  example.answers.clear();
  EXPECT_EQ(encode(Task::question_answering, example).targets, (Targets{0, 0}));
}

TEST_F(EncodeExamples, AFileIsReadWhole) {
  const testing::TemporaryFolder folder;
  testing::write_text(folder / "x.tsv", "sentence1\tsentence2\tscore\na\tb\t1.5\nc\td\t2\n");
  const ExampleEncoder encoder(*gpt2_, {}, {.task = Task::regression, .pair = {.marks = kMarks}});
  const auto examples = encode_file(folder / "x.tsv", {.task = Task::regression}, encoder);
  ASSERT_EQ(examples.size(), 2u);
  EXPECT_EQ(examples[1].value, 2);
  EXPECT_EQ(spelled(examples[0].rows.at(0)), "<s>|a</s></s>|b</s>");
}

}  // namespace
}  // namespace everlong::data
