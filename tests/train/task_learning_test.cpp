// What a tiny encoder learns of tasks in seconds, and that it does not where there is nothing to learn.

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/base/rng.h"
#include "everlong/data/lra/idx_images.h"
#include "everlong/data/lra/listops.h"
#include "everlong/models/model_directory.h"
#include "tests/train/task_support.h"

namespace everlong::train {
namespace {

using testing_support::operator+;

class TaskLearning : public testing_support::TaskRuns {
 protected:
  /// Documents as JSON lines: the same eight sentences, or letters at random.
  std::string documents(bool regular, uint64_t seed) {
    CounterRng rng(seed, 1);
    const std::array<const char*, 8> sentences = {"anna sees the sea", "ben draws a tower",  "clara forgets it",  "david counts ships",
                                                  "emma paints gates", "fritz runs to town", "greta sings alone", "hans is at home"};
    std::string lines;
    for (int i = 0; i < 64; ++i) {
      std::string text = sentences[static_cast<size_t>(i) % 8];
      if (!regular)
        for (char& letter : text) letter = static_cast<char>('a' + rng.next_below(8));
      lines += fmt::format("{{\"text\": \"{}\"}}\n", text);
    }
    return lines;
  }

  /// Sentences that one word decides, with the right labels or ones drawn at random.
  static std::string reviews(bool labelled_right, uint64_t seed) {
    CounterRng rng(seed, 2);
    const std::array<const char*, 4> subjects = {"the film", "this book", "her song", "that play"};
    const std::array<const char*, 6> words = {"good", "fine", "great", "bad", "dull", "poor"};
    std::string lines = "sentence\tlabel\n";
    for (int i = 0; i < 120; ++i) {
      const size_t word = rng.next_below(6);
      const bool good = labelled_right ? word < 3 : rng.next_below(2) == 0;
      lines += fmt::format("{} is {}\t{}\n", subjects[rng.next_below(4)], words[word], good ? "liked" : "disliked");
    }
    return lines;
  }

  static std::string listops(int64_t first, int64_t count, bool labelled_right) {
    CounterRng rng(7, 3);
    std::string lines = "Source\tTarget\n";
    for (int64_t i = first; i < first + count; ++i) {
      const auto example = data::make_listops({.max_depth = 2, .max_args = 3, .min_len = 4, .max_len = 8, .value_share = 1, .seed = 5}, i);
      lines += fmt::format("{}\t{}\n", example.text, labelled_right ? example.value : static_cast<int64_t>(rng.next_below(10)));
    }
    return lines;
  }

  /// Pictures of 6 by 6: noise, and in it a bright row (class 4) or a bright column (class 7).
  void write_stripes(const std::string& name, int64_t count, uint64_t seed) const {
    constexpr size_t kSide = 6;
    CounterRng rng(seed, 4);
    data::IdxWriter writer(folder_ / name, count, kSide, kSide);
    for (int64_t i = 0; i < count; ++i) {
      std::vector<uint8_t> image(kSide * kSide);
      for (uint8_t& pixel : image) pixel = static_cast<uint8_t>(rng.next_below(100));
      const bool column = i % 2 == 1;
      const size_t place = rng.next_below(kSide);
      for (size_t k = 0; k < kSide; ++k) image[column ? k * kSide + place : place * kSide + k] = static_cast<uint8_t>(200 + rng.next_below(56));
      writer.add(image, column ? 7 : 4);
    }
    writer.commit();
  }
};

TEST_F(TaskLearning, AMaskedLanguageModelLearnsEightSentencesByHeart) {
  write("train.jsonl", documents(true, 1));
  const auto found = train("run", {"train.task=masked-lm", "train.steps=600", "optim.lr=1e-2", "data.batch_size=32", "model.initializer_range=0.2",
                                   "data.mask_ratio=0.15", "data.train=" + path("train.jsonl"), "data.eval=" + path("train.jsonl")});
  EXPECT_LT(found.score("loss"), 0.2);
  EXPECT_GT(found.score("accuracy"), 0.95);
}

TEST_F(TaskLearning, LettersAtRandomCannotBeNamedBehindTheirMasks) {
  write("train.jsonl", documents(false, 1));
  write("eval.jsonl", documents(false, 2));
  const auto found = train("run", {"train.task=masked-lm", "train.steps=150", "data.mask_ratio=0.15", "data.train=" + path("train.jsonl"),
                                   "data.eval=" + path("eval.jsonl")});
  EXPECT_GT(found.score("loss"), 1.7);  // log 8 is 2.08; a tenth of the letters is shown as it is
}

TEST_F(TaskLearning, AClassifierLearnsWhatOneWordDecides) {
  write("train.tsv", reviews(true, 1));
  write("eval.tsv", reviews(true, 2));
  const auto found =
      train("run", {"train.task=sequence-classification", "train.steps=120", "data.train=" + path("train.tsv"), "data.eval=" + path("eval.tsv")});
  EXPECT_EQ(found.score("accuracy"), 1.0);
  EXPECT_EQ(found.score("matthews"), 1.0);
  EXPECT_EQ(found.examples, 120);
}

TEST_F(TaskLearning, ImagesAreLearnedAsSequencesOfPixels) {
  write_stripes("train", 160, 1);
  write_stripes("eval", 80, 2);
  const Overrides run = {"train.task=sequence-classification",
                         "train.steps=150",
                         "data.batch_size=16",
                         "train.classifier_pooling=mean",
                         "train.classifier_activation=gelu",
                         "data.train=" + path("train-images-idx3-ubyte"),
                         "data.eval=" + path("eval-images-idx3-ubyte")};
  EXPECT_GT(train("run", run).score("accuracy"), 0.95);
  const auto folder = checkpoint("run", 150);
  const auto loaded = models::load_head(folder);
  EXPECT_EQ(loaded.model->config().vocabulary(), 1);
  EXPECT_EQ(loaded.model->task_config().label_names, (std::vector<std::string>{"4", "7"}));
  EXPECT_EQ(loaded.model->task_config().classifier.pixel_std, 0.5);
  write("text.tsv", "sentence\tlabel\na\t4\nb\t7\n");
  EXPECT_THROW((void)train("mixed", run + Overrides{"data.eval=" + path("text.tsv")}), InvalidArgument);
  EXPECT_THROW((void)train("masked", run + Overrides{"train.task=masked-lm"}), InvalidArgument);
}

TEST_F(TaskLearning, PairsAreLearnedWhereEachTextIsReadByItself) {
  CounterRng rng(3, 5);
  std::string lines = "text1\ttext2\tlabel\n";
  for (int i = 0; i < 160; ++i) {  // the class: whether both texts have the same mood
    const size_t a = rng.next_below(2), b = rng.next_below(2);
    const std::array<const char*, 2> words = {"good", "bad"};
    lines += fmt::format("it is {}\tshe is {} too\t{}\n", words[a], words[b], a == b ? "same" : "other");
  }
  write("pairs.tsv", lines);
  const auto found = train("run", {"train.task=sequence-classification", "train.steps=250", "data.batch_size=16", "train.classifier_pooling=mean",
                                   "train.classifier_pairs=separate", "data.text_column=text1", "data.text_b_column=text2", "data.label_column=label",
                                   "data.train=" + path("pairs.tsv"), "data.eval=" + path("pairs.tsv")});
  EXPECT_GT(found.score("accuracy"), 0.95);
}

TEST_F(TaskLearning, LabelsAtRandomTeachAClassifierNothing) {
  write("train.tsv", reviews(false, 1));
  write("eval.tsv", reviews(true, 2));
  const auto found =
      train("run", {"train.task=sequence-classification", "train.steps=120", "data.train=" + path("train.tsv"), "data.eval=" + path("eval.tsv")});
  EXPECT_LT(found.score("accuracy"), 0.8);
}

TEST_F(TaskLearning, ListsOfDigitsAreEvaluatedFarBetterThanByChance) {
  write("eval.tsv", listops(4000, 200, true));
  const TaskRuns::Overrides run = {"train.task=sequence-classification", "train.steps=400", "data.batch_size=32", "data.eval=" + path("eval.tsv")};
  write("train.tsv", listops(0, 2000, true));
  EXPECT_GT(train("run", run + Overrides{"data.train=" + path("train.tsv")}).score("accuracy"), 0.45);
  write("shuffled.tsv", listops(0, 2000, false));
  EXPECT_LT(train("shuffled", run + Overrides{"data.train=" + path("shuffled.tsv"), "train.steps=100"}).score("accuracy"), 0.25);
}

}  // namespace
}  // namespace everlong::train
