#include "everlong/train/config.h"

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/io/toml.h"
#include "tests/support/files.h"

namespace everlong::train {
namespace {

using testing::TemporaryFolder;

class TrainConfigFile : public ::testing::Test {
 protected:
  TrainConfig read(std::string_view text, const std::vector<std::string>& overrides = {}) {
    testing::write_text(folder_ / "config.toml", text);
    return read_train_config(folder_ / "config.toml", overrides);
  }
  std::string complaint(std::string_view text, const std::vector<std::string>& overrides = {}) {
    try {
      static_cast<void>(read(text, overrides));
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }
  static std::string value(TrainConfig& config, std::string_view key) { return to_text(config.fields().find(key)->get()); }

  TemporaryFolder folder_;
};

TEST_F(TrainConfigFile, EverySectionIsReadAndEveryFieldSurvivesBeingWritten) {
  auto config = read(R"([model]
architecture = "mega"
hidden_size = 24
attention_activation = "laplace"
[data]
train = ["a.txt", "b.txt"]
order = "windows"
batch_size = 3
[optim]
lr = 2e-3
schedule = "linear"
decay = "all"
[train]
steps = 17
average_decay = 0.5
activation_checkpointing = true
)");
  const std::vector<std::pair<std::string, std::string>> expected = {{"model.hidden_size", "24"},
                                                                     {"model.attention_activation", "laplace"},
                                                                     {"data.train", "[a.txt, b.txt]"},
                                                                     {"data.order", "windows"},
                                                                     {"data.batch_size", "3"},
                                                                     {"optim.lr", "0.002"},
                                                                     {"optim.schedule", "linear"},
                                                                     {"optim.decay", "all"},
                                                                     {"train.steps", "17"},
                                                                     {"train.average_decay", "0.5"},
                                                                     {"train.activation_checkpointing", "true"}};
  for (const auto& [key, text] : expected) EXPECT_EQ(value(config, key), text) << key;
  auto again = read(io::to_toml(config.fields()));
  EXPECT_EQ(again.fields().canonical_text(), config.fields().canonical_text());
}

TEST_F(TrainConfigFile, AnUnknownKeyIsRefusedWithItsLineAndTheNearestKnownOne) {
  const std::string train = complaint("[data]\ntrain = \"a\"\n\n[train]\nstep = 5\n");
  EXPECT_NE(train.find("config.toml at 5"), std::string::npos) << train;
  EXPECT_NE(train.find("train.steps"), std::string::npos) << train;
  const std::string model = complaint("[model]\narchitecture = \"mega\"\nhiden_size = 5\n");
  EXPECT_NE(model.find("config.toml:3"), std::string::npos) << model;
  EXPECT_NE(model.find("model.hidden_size"), std::string::npos) << model;
  const std::string set = complaint("", {"optim.learning=1"});
  EXPECT_NE(set.find("optim.learning"), std::string::npos) << set;
}

TEST_F(TrainConfigFile, AValueOutOfRangeNamesTheKey) {
  EXPECT_NE(complaint("[optim]\nlr = -1\n").find("optim.lr"), std::string::npos);
  EXPECT_NE(complaint("[train]\nsteps = \"many\"\n").find("train.steps"), std::string::npos);
  EXPECT_NE(complaint("", {"train.steps=0"}).find("train.steps"), std::string::npos);
  EXPECT_NE(complaint("[model]\nhidden_size = 0\n").find("model.hidden_size"), std::string::npos);
}

TEST_F(TrainConfigFile, BrokenTomlIsAFormatErrorAndAMissingFileAnIoError) {
  EXPECT_THROW(static_cast<void>(read("[train\n")), FormatError);
  EXPECT_THROW(static_cast<void>(read_train_config(folder_ / "none.toml")), IoError);
  EXPECT_THROW(static_cast<void>(read("", {"train.steps"})), InvalidArgument);
  EXPECT_THROW(static_cast<void>(read("", {"=5"})), InvalidArgument);
}

TEST_F(TrainConfigFile, LaterOverridesWinOverEarlierOnesAndBothOverTheFile) {
  auto config = read("[train]\nsteps = 5\nseed = 9\n", {"train.steps=6", "train.steps=7", "model.hidden_size=40"});
  EXPECT_EQ(config.train.steps, 7);
  EXPECT_EQ(config.train.seed, 9);
  EXPECT_EQ(value(config, "model.hidden_size"), "40");
}

TEST_F(TrainConfigFile, APresetComesBeforeTheFilesOwnModelKeysAndThoseBeforeOverrides) {
  const std::string text = "[model]\nhidden_size = 96\npreset = \"mega-small\"\nchunk_size = 64\n";
  auto config = read(text, {"model.chunk_size=32"});
  EXPECT_EQ(value(config, "model.hidden_size"), "96");
  EXPECT_EQ(value(config, "model.chunk_size"), "32");
  EXPECT_EQ(value(config, "model.intermediate_size"), "512");  // the preset's
  auto other = read(text, {"model.hidden_size=8", "model.preset=mega-enwik8"});
  EXPECT_EQ(value(other, "model.num_hidden_layers"), "12");
  EXPECT_EQ(value(other, "model.hidden_size"), "8");
}

TEST_F(TrainConfigFile, UnknownNamesOfPresetsAndArchitecturesListTheKnownOnes) {
  EXPECT_NE(complaint("", {"model.preset=huge"}).find("mega-small"), std::string::npos);
  EXPECT_NE(complaint("[model]\narchitecture = \"rnn\"\n").find("mega"), std::string::npos);
  auto llama = read("[model]\narchitecture = \"transformer\"\nnum_attention_heads = 2\n");
  EXPECT_EQ(value(llama, "model.num_attention_heads"), "2");
}

TEST_F(TrainConfigFile, ValidationNamesTheKey) {
  EXPECT_THROW(read("").validate(), InvalidArgument);  // no data.train
  EXPECT_THROW(read("[data]\ntrain = \"a\"\n[train]\ndtype = \"f16\"\n").validate(), InvalidArgument);
  EXPECT_THROW(read("[data]\ntrain = \"a\"\n[train]\ndevice = \"tpu\"\n").validate(), InvalidArgument);
  EXPECT_THROW(read("[data]\ntrain = \"a\"\n", {"model.is_decoder=true", "model.bidirectional=true"}).validate(), InvalidArgument);
}

}  // namespace
}  // namespace everlong::train
