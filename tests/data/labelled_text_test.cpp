#include "everlong/data/labelled_text.h"

#include <zlib.h>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "tests/support/files.h"
#include "tests/support/message.h"

namespace everlong::data {
namespace {

using testing::message_of;
using testing::TemporaryFolder;
using testing::write_text;
using Names = std::vector<std::string>;

/// Writes one file below a temporary folder and reads it.
class File {
 public:
  File(const std::string& name, const std::string& content) : path_(folder_ / name) {
    std::filesystem::create_directories(path_.parent_path());
    write_text(path_, content);
  }
  std::vector<LabelledExample> read(const LabelledTextOptions& options = {}) {
    const auto reader = LabelledTextReader::open(path_, options);
    std::vector<LabelledExample> examples;
    while (auto example = reader->next()) examples.push_back(std::move(*example));
    skipped_ = reader->skipped_lines();
    return examples;
  }
  template <class E = FormatError>
  std::string complaint(const LabelledTextOptions& options = {}) {
    return message_of<E>([&] { (void)read(options); }, folder_.path().string() + "/");
  }
  [[nodiscard]] int64_t skipped() const { return skipped_; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  TemporaryFolder folder_;
  std::filesystem::path path_;
  int64_t skipped_ = 0;
};

void expect_example(const LabelledExample& example, const std::string& text, const std::optional<std::string>& text_b, const Names& classes) {
  EXPECT_EQ(example.text, text);
  EXPECT_EQ(example.text_b, text_b);
  EXPECT_EQ(example.classes, classes);
  EXPECT_EQ(example.has_label, !classes.empty());
}

TEST(LabelledText, ColaHasNoHeaderAndItsTestFileHasOne) {
  const auto examples = File("CoLA/train.tsv", "gj04\t1\t\tOur friends won't buy it.\ngj04\t0\t*\tThey drank the pub.\n").read();
  ASSERT_EQ(examples.size(), 2u);
  expect_example(examples[0], "Our friends won't buy it.", std::nullopt, {"1"});
  expect_example(examples[1], "They drank the pub.", std::nullopt, {"0"});
  EXPECT_EQ(examples[1].line, 2);
  expect_example(File("CoLA/test.tsv", "index\tsentence\n0\tBill whistled.\n").read().at(0), "Bill whistled.", std::nullopt, {});
  EXPECT_EQ(File("cola_public/raw/in_domain_train.tsv", "gj04\t1\t\tA b.\n").read().size(), 1u);
}

TEST(LabelledText, SentencesOfSst2) {
  expect_example(File("SST-2/train.tsv", "sentence\tlabel\nhide new secretions \t0\n").read().at(0), "hide new secretions ", std::nullopt, {"0"});
  expect_example(File("SST-2/test.tsv", "index\tsentence\n0\tuneasy mishmash\n").read().at(0), "uneasy mishmash", std::nullopt, {});
}

TEST(LabelledText, QuotesOfMrpcHaveNoMeaning) {
  const std::string header = "\xef\xbb\xbfQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n";
  const auto examples = File("MRPC/msr_paraphrase_train.txt", header + "1\t702876\t702977\tHe said \"no.\t\"No, he said.\r\n0\t1\t2\ta\tb").read();
  ASSERT_EQ(examples.size(), 2u);
  expect_example(examples[0], "He said \"no.", "\"No, he said.", {"1"});
  expect_example(examples[1], "a", "b", {"0"});
  expect_example(File("MRPC/test.tsv", "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\ta\tb\n").read().at(0), "a", "b", {});
}

TEST(LabelledText, ScoresOfStsB) {
  const std::string header = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n";
  File file("STS-B/dev.tsv", header + "0\tmain-captions\tMSRvid\t2012test\t0000\tnone\tnone\tA man.\tA boy.\t4.750\n");
  const auto example = file.read({.task = Task::regression}).at(0);
  EXPECT_EQ(example.value, 4.75);
  EXPECT_TRUE(example.has_label);
  EXPECT_EQ(example.text + *example.text_b, "A man.A boy.");
  File odd("STS-B/dev.tsv", header + "0\ta\tb\tc\td\te\tf\tA man.\tA boy.\tnan\n");
  EXPECT_EQ(odd.complaint({.task = Task::regression}), "[STS-B/dev.tsv at 2, score] expected a finite number, got nan.");
}

TEST(LabelledText, QqpLeavesItsBrokenLinesOutAndCountsThem) {
  File file("QQP/train.tsv",
            "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tHow?\tWhy?\t0\n4\t5\t6\tbroken\nby a line end\tx\t1\n7\t8\t9\tA\tB\t1\n");
  const auto examples = file.read();
  ASSERT_EQ(examples.size(), 2u);
  EXPECT_EQ(file.skipped(), 2);
  expect_example(examples[1], "A", "B", {"1"});
  EXPECT_EQ(file.complaint({.skip_bad_lines = false}),
            "[QQP/train.tsv at 3, columns] expected 6, got 4. Hint: columns stand between tabs, and quotes have no meaning.");
  expect_example(File("QQP/test.tsv", "id\tquestion1\tquestion2\n0\tA\tB\n").read().at(0), "A", "B", {});
}

TEST(LabelledText, MnliTakesTheGoldLabelOfMatchedAndMismatched) {
  const std::string columns =
      "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2";
  const std::string values = "0\t1\t1n\tfiction\t( a )\t( b )\t(R a)\t(R b)\tThe new rights.\tEveryone.";
  for (const char* name : {"MNLI/dev_matched.tsv", "MNLI/dev_mismatched.tsv"}) {
    const auto examples = File(name, columns + "\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label\n" + values +
                                         "\tentailment\tneutral\tneutral\tneutral\tneutral\tneutral\n")
                              .read();
    expect_example(examples.at(0), "The new rights.", "Everyone.", {"neutral"});
  }
  expect_example(File("MNLI/train.tsv", columns + "\tlabel1\tgold_label\n" + values + "\tneutral\tcontradiction\n").read().at(0), "The new rights.",
                 "Everyone.", {"contradiction"});
  expect_example(File("MNLI/test_matched.tsv", columns + "\n" + values + "\n").read().at(0), "The new rights.", "Everyone.", {});
}

TEST(LabelledText, PairsOfQnliRteAndWnli) {
  expect_example(File("QNLI/dev.tsv", "index\tquestion\tsentence\tlabel\n0\tWhat?\tThat.\tnot_entailment\n").read().at(0), "What?", "That.",
                 {"not_entailment"});
  expect_example(File("RTE/dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tentailment\n").read().at(0), "A.", "B.", {"entailment"});
  expect_example(File("WNLI/dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\t1\n").read().at(0), "A.", "B.", {"1"});
}

TEST(LabelledText, ColumnsCanBeNamedOrNumbered) {
  File file("mine.tsv", "title\tbody\tkind\nt\tb\tgood\n");
  expect_example(file.read({.text = "body", .label = "kind"}).at(0), "b", std::nullopt, {"good"});
  expect_example(file.read({.text = "title", .text_b = "body", .label = "3"}).at(0), "t", "b", {"good"});
  EXPECT_EQ(file.read({.text = "2", .label = "3", .header = false}).size(), 2u);
  EXPECT_EQ(file.read({.text = "2", .label = "3"}).size(), 2u);
  EXPECT_EQ(
      file.complaint(),
      "[mine.tsv at 1] expected columns of a known layout, as text and label, or sentence1, sentence2 and label, got title, body, kind. Hint: name "
      "the columns that hold the texts and the label.");
  EXPECT_EQ(file.complaint<InvalidArgument>({.text = "nothing"}), "[mine.tsv] expected a column 'nothing', got title, body, kind.");
  EXPECT_EQ(file.complaint<InvalidArgument>({.text = "4", .header = false}), "[mine.tsv] expected a column '4', got title, body, kind.");
  EXPECT_EQ(File("x.tsv", "text\na\n").complaint<InvalidArgument>({.require_label = true}), "[x.tsv] expected a column 'label', got text.");
  EXPECT_EQ(File("x.csv", "text\na\n").complaint<InvalidArgument>(),
            "[data] expected a labelled file: .tsv, .txt (columns between tabs) or .jsonl, also with .gz or .zst after it, got x.csv.");
}

TEST(LabelledText, ListOpsIsReadAsItIsWritten) {
  expect_example(File("basic_train.tsv", "Source\tTarget\n[MAX 1 2 ]\t2\n").read().at(0), "[MAX 1 2 ]", std::nullopt, {"2"});
}

TEST(LabelledText, CompressedFilesAreReadAsTheyAre) {
  File file("x.tsv.gz", "");
  gzFile gz = gzopen(file.path().c_str(), "wb");
  gzputs(gz, "text\tlabel\nhello\tyes\n");
  gzclose(gz);
  expect_example(file.read().at(0), "hello", std::nullopt, {"yes"});
}

TEST(LabelledText, ClassesOfJsonlAreTextsIntegersOrTruthValues) {
  const auto examples = File("x.jsonl",
                             "{\"text\": \"a\\tb\", \"label\": \"yes\"}\n\n{\"label\": 3, \"text\": \"b\"}\n{\"text\": \"c\", \"label\": true}\n"
                             "{\"text\": \"d\", \"label\": null}\n{\"text\": \"e\"}")
                            .read();
  ASSERT_EQ(examples.size(), 5u);
  expect_example(examples[0], "a\tb", std::nullopt, {"yes"});
  expect_example(examples[1], "b", std::nullopt, {"3"});
  EXPECT_EQ(examples[1].line, 3);
  expect_example(examples[2], "c", std::nullopt, {"true"});
  expect_example(examples[3], "d", std::nullopt, {});
  expect_example(examples[4], "e", std::nullopt, {});
  expect_example(File("x.jsonl", R"({"sentence1": "a", "sentence2": "b", "label": 0})").read().at(0), "a", "b", {"0"});
}

TEST(LabelledText, ManyClassesStandInAListOrBetweenCommas) {
  const LabelledTextOptions options{.task = Task::multi_label};
  expect_example(File("x.jsonl", R"({"text": "a", "labels": ["joy", "anger", "joy"]})").read(options).at(0), "a", std::nullopt, {"anger", "joy"});
  const auto examples = File("x.tsv", "text\tlabels\na\t2,14\nb\t\n").read(options);
  expect_example(examples.at(0), "a", std::nullopt, {"14", "2"});
  EXPECT_TRUE(examples.at(1).has_label && examples.at(1).classes.empty()) << "no class at all is a label, too";
}

TEST(LabelledText, WordsHaveAClassEach) {
  const LabelledTextOptions options{.task = Task::token_classification};
  auto example = File("x.jsonl", R"({"tokens": ["EU", "rejects"], "ner_tags": [3, 0]})").read(options).at(0);
  EXPECT_EQ(example.words, (Names{"EU", "rejects"}));
  EXPECT_EQ(example.classes, (Names{"3", "0"}));
  example = File("x.tsv", "text\ttags\nEU rejects\tB-ORG O\n").read(options).at(0);
  EXPECT_EQ(example.words, (Names{"EU", "rejects"}));
  EXPECT_EQ(example.classes, (Names{"B-ORG", "O"}));
  EXPECT_EQ(File("x.tsv", "text\ttags\nEU rejects\tO\n").complaint(options), "[x.tsv at 2, tags] expected one class for each of 2 words, got 1.");
  EXPECT_EQ(File("x.jsonl", R"({"tokens": [], "ner_tags": []})").complaint(options), "[x.jsonl at 1, tokens] expected words, got none.");
}

TEST(LabelledText, ChoicesComeInAListOrInColumns) {
  const LabelledTextOptions options{.task = Task::multiple_choice};
  auto example = File("x.jsonl", R"({"question": "Why?", "choices": ["so", "no"], "label": 1})").read(options).at(0);
  EXPECT_EQ(example.choices, (Names{"so", "no"}));
  EXPECT_EQ(example.choice, 1);
  const std::string swag = "sent1\tsent2\tending0\tending1\tending2\tending3\tlabel\n";
  example = File("swag.tsv", swag + "A man sits.\tHe\truns.\teats.\tflies.\tsleeps.\t2\n").read(options).at(0);
  EXPECT_EQ(example.text, "A man sits.");
  EXPECT_EQ(example.choices, (Names{"He runs.", "He eats.", "He flies.", "He sleeps."}));
  EXPECT_EQ(example.choice, 2);
  EXPECT_EQ(File("x.jsonl", R"({"question": "Why?", "choices": ["so", "no"], "answerKey": "B"})").read(options).at(0).choice, 1);
  EXPECT_EQ(File("x.tsv", swag + "a\tb\tc\td\te\tf\t4\n").complaint(options),
            "[x.tsv at 2, label] expected the number of a choice from 0 to 3, got 4.");
  EXPECT_EQ(File("x.jsonl", R"({"question": "Why?", "choices": ["so"], "label": 0})").complaint(options),
            "[x.jsonl at 1, choices] expected at least two choices, got 1.");
  EXPECT_EQ(File("x.tsv", "text\tlabel\na\t1\n").complaint<InvalidArgument>(options), "[x.tsv] expected a column 'ending0', got text, label.");
}

TEST(LabelledText, AnswersBeginAtCharactersNotBytes) {
  const LabelledTextOptions options{.task = Task::question_answering};
  auto example =
      File("x.jsonl", R"({"question": "Who?", "context": "\u00c9t\u00e9: Ann", "answers": {"text": ["Ann", "Ann"], "answer_start": [5, 5]}})")
          .read(options)
          .at(0);
  EXPECT_EQ(example.answers, (Names{"Ann", "Ann"}));
  EXPECT_EQ(example.answer_begin, 7);
  example = File("x.jsonl", R"({"question": "Who?", "context": "c", "answers": {"text": [], "answer_start": []}})").read(options).at(0);
  EXPECT_TRUE(example.has_label && example.answers.empty() && example.answer_begin == -1);
  example = File("x.jsonl", R"({"question": "Who?", "context": "is Ann", "answers": [{"text": "Ann", "answer_start": 3}]})").read(options).at(0);
  EXPECT_EQ(example.answer_begin, 3);
  example = File("x.tsv", "question\tcontext\tanswer\nWho?\tis Ann\tAnn\n").read(options).at(0);
  EXPECT_EQ(example.answer_begin, 3);
  for (const char* start : {"2", "9", "18446744073709551615"}) {
    const std::string line = std::string(R"({"question": "Who?", "context": "is Ann", "answers": [{"text": "Ann", "answer_start": )") + start + "}]}";
    EXPECT_EQ(File("x.jsonl", line).complaint(options),
              std::string("[x.jsonl at 1, answers] expected an answer that stands at character ") + start + " of the context, got 'Ann'.");
  }
}

TEST(LabelledText, LiesAreRefusedByFileLineAndColumn) {
  EXPECT_EQ(File("x.tsv", "text\tlabel\na\tb\nc\n").complaint(),
            "[x.tsv at 3, columns] expected 2, got 1. Hint: columns stand between tabs, and quotes have no meaning.");
  EXPECT_EQ(File("x.tsv", "text\tlabel\na\tb\tc\n").complaint(),
            "[x.tsv at 2, columns] expected 2, got 3. Hint: columns stand between tabs, and quotes have no meaning.");
  EXPECT_EQ(File("x.tsv", "text\tlabel\n\xff\tb\n").complaint(), "[x.tsv at 2, text] expected UTF-8, got '\\xFF'.");
  EXPECT_EQ(File("x.tsv", "text\tlabel\na\t\n").complaint(), "[x.tsv at 2, label] expected a class with a name, got an empty text.");
  EXPECT_EQ(File("x.tsv", "text\tlabel\na\tb\n").complaint({.task = Task::regression}), "[x.tsv at 2, label] expected a number, got 'b'.");
  EXPECT_EQ(File("x.jsonl", "{\"text\": \"a\", \"label\": 1}\n{\"label\": 1}").complaint(), "[x.jsonl at 2, text] expected this key, got none.");
  EXPECT_EQ(File("x.jsonl", R"({"text": 1, "label": 1})").complaint(), "[x.jsonl at 1, text] expected a text, got 1.");
  EXPECT_EQ(File("x.jsonl", R"({"text": "a", "label": 1.5})").complaint(), "[x.jsonl at 1, label] expected a class: a text or an integer, got 1.5.");
  EXPECT_EQ(File("x.jsonl", R"({"text": "a", "labels": 1})").complaint({.task = Task::multi_label}),
            "[x.jsonl at 1, labels] expected a list of classes, got 1.");
  EXPECT_EQ(File("x.jsonl", "[1]").complaint(), "[x.jsonl at 1] expected a JSON object, got [1].");
  EXPECT_NE(File("x.jsonl", "{\"text\": \"a\"}\n{").complaint().find("x.jsonl, line 2 at"), std::string::npos);
  EXPECT_EQ(File("x.jsonl", R"({"text": "a"})").complaint<InvalidArgument>({.require_label = true}),
            "[x.jsonl] expected a column 'label', got text.");
  EXPECT_TRUE(File("x.tsv", "").read().empty());
}

TEST(LabelMap, IsSortedByNumbersWhereAllAreNumbers) {
  EXPECT_EQ(LabelMap::sorted({"10", "2", "1", "2"}).names(), (Names{"1", "2", "10"}));
  EXPECT_EQ(LabelMap::sorted({"neutral", "10", "2"}).names(), (Names{"10", "2", "neutral"}));
  const LabelMap given({"b", "a"});
  EXPECT_EQ(given.find("a"), 1);
  EXPECT_EQ(given.find("c"), std::nullopt);
  EXPECT_EQ(message_of<FormatError>([&] { (void)given.number_of("c", {.file = "x.tsv", .offset = 3, .field = "label"}); }),
            "[x.tsv at 3, label] expected one of the classes b, a, got 'c'.");
  EXPECT_EQ(message_of<InvalidArgument>([] { LabelMap({"a", "a"}); }), "[labels] expected every class once, got 'a' twice.");
  EXPECT_EQ(message_of<InvalidArgument>([] { LabelMap({""}); }), "[labels] expected classes with names, got an empty one.");
}

TEST(LabelMap, CollectsTheClassesOfAllFiles) {
  File train("train.tsv", "text\tlabel\na\tno\nb\tyes\n"), dev("dev.jsonl", R"({"text": "a", "label": "maybe"})");
  EXPECT_EQ(collect_labels(std::vector{train.path(), dev.path()}, {}).names(), (Names{"maybe", "no", "yes"}));
}

}  // namespace
}  // namespace everlong::data
